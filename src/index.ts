/**
 * Express middleware that lets any node serve any MCP session.
 *
 * Parts that stand beside it have entries of their own: `mcp-anynode/sdk-stores`, `/legacy-sse`, `/observe` and `/codec`.
 */

// The middleware, its options and its handle.
export { anynode } from './node.js';
export type { Anynode, CloseOptions, Health } from './handle/node-handle.js';
export type { AnynodeOptions } from './options/anynode-options.js';

// For the HTTP server that an Express application gets.
export type { ListeningServer } from './http/response/closing-server.js';
export { serverOptionsFor } from './http/server-options.js';
export type { AppServerOptions, ExpressPrototypes } from './http/server-options.js';

// Revision 2026-07-28, on the same mount.
export type { Modern, ModernHandler } from './http/modern/modern.js';

// Where sessions are stored: to share one in a process, to configure one by hand, or to write one.
export { memoryBackplane } from './backplane/memory/memory-backplane.js';
export { redisBackplane } from './backplane/redis/redis-backplane.js';
export type { RedisBackplaneOptions } from './backplane/redis/redis-backplane.js';
export type { Backplane } from './backplane/backplane.js';

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
