import { redisBackplane } from '../../src/backplane/redis/redis-backplane.js';
import { redisUrl, uniquePrefix } from '../support/redis-fixture.js';
import { describeBackplane } from './suite/describe-backplane.js';

describeBackplane('Redis', () => {
  const prefix = uniquePrefix();
  return Promise.resolve({
    backplane: () => redisBackplane({ redis: redisUrl(), prefix }),
    close: () => Promise.resolve(),
  });
});
