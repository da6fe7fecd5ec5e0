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
  ServerEvent,
  ServerEventBus,
  Task,
  TaskMessageQueue,
  TaskOptions,
  TaskStore,
} from './store-types.js';
