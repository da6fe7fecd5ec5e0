/** A Redis whose operator has switched commands off: the backplane needs none of those that are usually switched off. */
import { afterAll, beforeAll } from 'vitest';
import { redisBackplane } from '../../src/backplane/redis/redis-backplane.js';
import { startRedis, type RedisServer } from '../rig/redis.js';
import { uniquePrefix } from '../support/redis-fixture.js';
import { describeBackplane } from './suite/describe-backplane.js';

/** What managed services and hardened installations take away. `CLIENT` is used if it is there. */
const OFF = [
  ...['CONFIG', 'KEYS', 'FLUSHALL', 'FLUSHDB', 'DEBUG', 'SHUTDOWN', 'SAVE', 'BGSAVE'],
  ...['MONITOR', 'SLAVEOF', 'REPLICAOF', 'SCRIPT', 'ACL', 'CLIENT', 'SCAN'],
];

let server: RedisServer;
beforeAll(async () => {
  server = await startRedis({ args: OFF.flatMap((name) => ['--rename-command', name, '']) });
});
afterAll(() => server.stop());

describeBackplane('Redis with commands switched off', () => {
  const prefix = uniquePrefix();
  return Promise.resolve({
    backplane: () => redisBackplane({ redis: server.url, prefix }),
    close: () => Promise.resolve(),
  });
});
