import { Redis as Redis5 } from 'ioredis5';
import type { Redis } from 'ioredis';
import { redisBackplane } from '../../src/backplane/redis/redis-backplane.js';
import { redisUrl, uniquePrefix } from '../support/redis-fixture.js';
import { describeBackplane } from './suite/describe-backplane.js';

// Applications bring their own client, often of an older major version. The node's connections are duplicates of that
// client.
describeBackplane('Redis, with a client of ioredis 5', () => {
  const prefix = uniquePrefix();
  const client = new Redis5(redisUrl(), { lazyConnect: true, maxRetriesPerRequest: null });
  return Promise.resolve({
    backplane: () => redisBackplane({ redis: client as unknown as Redis, prefix }),
    close: () => {
      client.disconnect();
      return Promise.resolve();
    },
  });
});
