import { memoryBackplane } from '../../src/backplane/memory/memory-backplane.js';
import { describeBackplane } from './suite/describe-backplane.js';

describeBackplane('memory', () => {
  const shared = memoryBackplane();
  return Promise.resolve({ backplane: () => shared, close: () => Promise.resolve() });
});
