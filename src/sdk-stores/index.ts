/** `mcp-anynode/sdk-stores`: what the SDK lets others store, on a backplane. The same that a handle has, without the middleware. */
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
