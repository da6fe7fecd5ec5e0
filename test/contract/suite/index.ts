/** The entry `mcp-anynode/backplane-suite`: the tests that every backplane has to pass, for vitest. */
export { describeBackplane } from './describe-backplane.js';
export { describeSdkStores } from '../sdk-stores/describe-sdk-stores.js';
export type { OpenStore, Store } from './store.js';
