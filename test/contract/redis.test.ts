import { redisBackplane } from '../../src/backplane/redis/redis-backplane.js';
import { redisUrl, uniquePrefix } from '../support/redis-fixture.js';
import { describeSdkStores } from './sdk-stores/describe-sdk-stores.js';
import { describeBackplane } from './suite/describe-backplane.js';
import type { Store } from './suite/rig.js';

const open = (): Promise<Store> => {
  const prefix = uniquePrefix();
  return Promise.resolve({
    backplane: () => redisBackplane({ redis: redisUrl(), prefix }),
    close: () => Promise.resolve(),
  });
};

describeBackplane('Redis', open);
describeSdkStores('Redis', open);
