export { settled, startRedisCluster, type RedisCluster } from './redis-cluster.js';
export { startRedis, type RedisServer } from './redis-server.js';
