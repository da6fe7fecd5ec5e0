import { memoryBackplane } from '../../src/backplane/memory/memory-backplane.js';
import { describeSdkStores } from './sdk-stores/describe-sdk-stores.js';
import { describeBackplane } from './suite/describe-backplane.js';
import type { Store } from './suite/rig.js';

const open = (): Promise<Store> => {
  const shared = memoryBackplane();
  return Promise.resolve({ backplane: () => shared, close: () => Promise.resolve() });
};

describeBackplane('memory', open);
describeSdkStores('memory', open);
