/** Express middleware that lets any node serve any MCP session. */

// The middleware, its options and its handle.
export { anynode } from './anynode.js';
export type { Anynode, CloseOptions, Health } from './anynode.js';
export type { AnynodeOptions } from './options.js';

// For the HTTP server that an Express application gets.
export type { ListeningServer } from './http/closing-server.js';
export { serverOptionsFor } from './http/server-options.js';
export type { AppServerOptions, ExpressPrototypes } from './http/server-options.js';

// The HTTP+SSE transport of 2024-11-05, beside it.
export { legacySse } from './http/legacy/legacy-sse.js';
export type { LegacySseOptions } from './http/legacy/legacy-sse.js';

// Revision 2026-07-28, on the same mount.
export type { Modern, ModernHandler } from './http/modern.js';

// Where sessions are stored: to share one in a process, to configure one by hand, or to write one.
export { memoryBackplane } from './backplane/memory/memory.js';
export { redisBackplane } from './backplane/redis/redis.js';
export type { RedisBackplaneOptions } from './backplane/redis/redis.js';
export type { Backplane } from './backplane/backplane.js';

// What the SDK lets others store, in the backplane: each usable by itself.
export { seams } from './seams/seams.js';
export type { SeamsOptions } from './seams/seams.js';
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
} from './seams/types.js';
// A look from outside, for command lines and dashboards.
export { observe } from './observe/observe.js';
export type { ObserveOptions } from './observe/observe.js';
export type {
  NodeInfo,
  Observer,
  RequestInfo,
  SessionDetails,
  SessionStats,
  Stats,
  StreamInfo,
  Traffic,
} from './observe/types.js';

// Encryption of what is stored of sessions, ready-made, and what another codec has to be.
export { aesGcmCodec } from './backplane/aes-gcm.js';
export type { AesGcmOptions } from './backplane/aes-gcm.js';
export type { PayloadCodec, PayloadContext } from './backplane/payloads.js';

// What can go wrong at run time.
export { AnynodeError } from './errors.js';
export type { AnynodeErrorCode } from './errors.js';
export { ClientError } from './session/handle.js';

// The shapes of what the handle takes and gives.
export type { Directory } from './session/directory.js';
export type { EventOptions, Redact, RedactContext } from './session/events.js';
export type {
  RequestOptions,
  ResultSchema,
  SessionHandle,
  SessionState,
} from './session/handle.js';
export type { Notify } from './session/notify.js';
export { stateAt } from './session/snapshot.js';
export type { OpenRequest, SessionSnapshot } from './session/snapshot.js';
export type {
  AuthInfo,
  Logger,
  ServerContext,
  ServerLike,
  ServerTransport,
  SessionEvent,
  SessionEventType,
  SessionInfo,
} from './session/types.js';
