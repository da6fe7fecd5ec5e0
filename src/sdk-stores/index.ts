/**
 * The entry `mcp-anynode/sdk-stores`: the SDK's stores on a backplane. They are the same as those of a handle, without the
 * middleware.
 */
export { sdkStores } from './sdk-stores.js';
export type { SdkStoresOptions } from './sdk-stores.js';
export type {
  EventStore,
  QueuedMessage,
  SdkStores,
  Task,
  TaskMessageQueue,
  TaskStore,
} from './store-types.js';
export type { ServerEvent, ServerEventBus } from '../options/modern-option.js';
export type { TaskOptions } from '../options/public-types.js';
