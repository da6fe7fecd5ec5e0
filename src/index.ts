/**
 * Express middleware that lets any node serve any MCP session.
 *
 * Optional parts have entries of their own: `mcp-anynode/sdk-stores` (the stores of the SDK), `/legacy-sse` (clients of
 * 2024-11-05), `/lambda` (functions on AWS Lambda), `/observe` (a view from outside), `/audit` (the audit trail) and `/codec`
 * (encryption). `/backplane` and
 * `/backplane-suite` are for those who write a backplane.
 */

// The middleware, its options and its handle.
export { anynode } from './node.js';
export type { Anynode, CloseOptions, Health } from './handle/node-handle.js';
export type { AnynodeOptions } from './options/anynode-options.js';

// For frameworks of the Fetch standard.
export type { FetchHandler } from './http/fetch/fetch-handler.js';
export type { FetchOptions } from './http/fetch/fetched-request.js';

// For the HTTP server of an Express application.
export type { ListeningServer } from './http/response/closing-server.js';
export { serverOptionsFor } from './http/server-options.js';
export type { AppServerOptions, ExpressPrototypes } from './http/server-options.js';

// Serving revision 2026-07-28 at the same path.
export type { Modern, ModernHandler } from './options/modern-option.js';

// Where sessions are stored: to share a backplane in a process, to configure one, or to write one.
export { memoryBackplane } from './backplane/memory/memory-backplane.js';
export { redisBackplane } from './backplane/redis/redis-backplane.js';
export type { RedisBackplaneOptions } from './backplane/redis/redis-backplane.js';
export type { Backplane } from './backplane/backplane.js';

// Errors at run time.
export { AnynodeError } from './protocol/errors.js';
export type { AnynodeErrorCode } from './protocol/errors.js';
export { ClientError } from './handle/session-handle.js';

// The types of what the handle takes and returns.
export type { Directory } from './operator/session-directory.js';
export type { EventOptions } from './operator/session-events.js';
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
  Redact,
  RedactContext,
  SessionEvent,
  SessionEventType,
  SessionInfo,
} from './options/public-types.js';
