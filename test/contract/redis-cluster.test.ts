import { Cluster } from 'ioredis';
import { afterAll, beforeAll } from 'vitest';
import { redisBackplane } from '../../src/backplane/redis/redis.js';
import { startRedisCluster, type RedisCluster } from '../../demo/rig/redis.js';
import { uniquePrefix } from '../support/redis-fixture.js';
import { describeBackplane } from './suite/describe-backplane.js';

let servers: RedisCluster;
let client: Cluster;

beforeAll(async () => {
  servers = await startRedisCluster({ masters: 3 });
  client = new Cluster(servers.urls, { lazyConnect: true });
});

afterAll(async () => {
  client.disconnect();
  await servers.stop();
});

describeBackplane('Redis Cluster', () => {
  const prefix = uniquePrefix();
  return Promise.resolve({
    backplane: () => redisBackplane({ redis: client, prefix }),
    close: () => Promise.resolve(),
  });
});
