/** Express middleware that lets any node serve any MCP session. */

// The middleware, its options and its handle.
export { anynode } from './node.js';
export type { Anynode, CloseOptions, Health } from './node.js';
export type { AnynodeOptions } from './options/options.js';

// For the HTTP server that an Express application gets.
export type { ListeningServer } from './http/response/closing-server.js';
export { serverOptionsFor } from './http/server-options.js';
export type { AppServerOptions, ExpressPrototypes } from './http/server-options.js';

// The HTTP+SSE transport of 2024-11-05, beside it.
export { legacySse } from './legacy-sse/legacy-sse.js';
export type { LegacySseOptions } from './legacy-sse/legacy-sse.js';

// Revision 2026-07-28, on the same mount.
export type { Modern, ModernHandler } from './http/modern/modern.js';

// Where sessions are stored: to share one in a process, to configure one by hand, or to write one.
export { memoryBackplane } from './backplane/memory/memory-backplane.js';
export { redisBackplane } from './backplane/redis/redis-backplane.js';
export type { RedisBackplaneOptions } from './backplane/redis/redis-backplane.js';
export type { Backplane } from './backplane/backplane.js';

// What the SDK lets others store, in the backplane: each usable by itself.
export { seams } from './sdk-stores/sdk-stores.js';
export type { SeamsOptions } from './sdk-stores/sdk-stores.js';
export type {
  EventStore,
  QueuedMessage,
  Seams,
  ServerEvent,
  ServerEventBus,
  Task,
  TaskMessageQueue,
  TaskOptions,
  TaskStore,
} from './sdk-stores/store-types.js';
// A look from outside, for command lines and dashboards.
export { observe } from './operator/observe.js';
export type { ObserveOptions } from './operator/observe.js';
export type {
  NodeInfo,
  Observer,
  RequestInfo,
  SessionDetails,
  SessionStats,
  Stats,
  StreamInfo,
  Traffic,
} from './operator/observer.js';

// Encryption of what is stored of sessions, ready-made, and what another codec has to be.
export { aesGcmCodec } from './codec/aes-gcm.js';
export type { AesGcmOptions } from './codec/aes-gcm.js';
export type { PayloadCodec, PayloadContext } from './backplane/encoded/payloads.js';

// What can go wrong at run time.
export { AnynodeError } from './protocol/errors.js';
export type { AnynodeErrorCode } from './protocol/errors.js';
export { ClientError } from './handle/session-handle.js';

// The shapes of what the handle takes and gives.
export type { Directory } from './handle/session-directory.js';
export type { EventOptions, Redact, RedactContext } from './operator/session-events.js';
export type {
  RequestOptions,
  ResultSchema,
  SessionHandle,
  SessionState,
} from './handle/session-handle.js';
export type { Notify } from './handle/notify.js';
export { stateAt } from './operator/session-snapshot.js';
export type { OpenRequest, SessionSnapshot } from './operator/session-snapshot.js';
export type {
  AuthInfo,
  Logger,
  ServerContext,
  ServerLike,
  ServerTransport,
  SessionEvent,
  SessionEventType,
  SessionInfo,
} from './options/types.js';
