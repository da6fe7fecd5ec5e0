import { memoryBackplane } from '../../src/backplane/memory/memory-backplane.js';
import { redisBackplane } from '../../src/backplane/redis/redis-backplane.js';
import { redisUrl, uniquePrefix } from '../support/redis-fixture.js';
import { describeSdkStores } from './sdk-stores/describe-sdk-stores.js';

describeSdkStores('memory', () => {
  const shared = memoryBackplane();
  return Promise.resolve({ backplane: () => shared, close: () => Promise.resolve() });
});

describeSdkStores('Redis', () => {
  const prefix = uniquePrefix();
  return Promise.resolve({
    backplane: () => redisBackplane({ redis: redisUrl(), prefix }),
    close: () => Promise.resolve(),
  });
});
