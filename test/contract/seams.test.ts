import { memoryBackplane } from '../../src/backplane/memory/memory-backplane.js';
import { redisBackplane } from '../../src/backplane/redis/redis-backplane.js';
import { redisUrl, uniquePrefix } from '../support/redis-fixture.js';
import { describeSeams } from './seams/describe-seams.js';

describeSeams('memory', () => {
  const shared = memoryBackplane();
  return Promise.resolve({ backplane: () => shared, close: () => Promise.resolve() });
});

describeSeams('Redis', () => {
  const prefix = uniquePrefix();
  return Promise.resolve({
    backplane: () => redisBackplane({ redis: redisUrl(), prefix }),
    close: () => Promise.resolve(),
  });
});
