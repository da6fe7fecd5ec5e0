import type { Request, RequestHandler } from 'express';
import type { Cluster, Redis } from 'ioredis';
import type { Backplane } from '../backplane/backplane.js';
import type { PayloadCodec } from '../backplane/encoded/payloads.js';
import type { AuditOptions } from './audit-option.js';
import type { Limits } from './limits.js';
import type { Modern, ServerEventBus } from './modern-option.js';
import type { Telemetry } from './node-telemetry.js';
import type { Logger, Redact, ServerContext, ServerLike, TaskOptions } from './public-types.js';

/**
 * Options of {@link anynode}. Times are in milliseconds, sizes in bytes. Give all nodes of a cluster the same options. A
 * wrong option throws a `TypeError` when the node is made.
 */
export interface AnynodeOptions {
  /**
   * Builds the MCP server of one session: an `McpServer` or `Server` that is not connected yet. It is called once
   * for each session on each node that needs a server object. If it throws, the request that needed the server
   * object gets the JSON-RPC error -32603, and the next request tries again. Give exactly one of `server`,
   * `handler` and `upstream`.
   */
  server?: ((context: ServerContext) => ServerLike | Promise<ServerLike>) | undefined;
  /**
   * Takes the place of `server`: an Express handler, router or app that speaks Streamable HTTP and keeps its sessions in this
   * process. Each server object is a session of the handler that only this node knows. This library calls the handler with
   * requests of its own, which carry the client's headers and what middleware in front has put on the client's request. It
   * reads the responses, and does not pass them on. The client gets an error status of the handler as a status for
   * `initialize` only. For every other request, the client gets a JSON-RPC error.
   */
  handler?: RequestHandler | undefined;
  /**
   * Takes the place of `server`: the URL (`http:` or `https:`) of a server that speaks Streamable HTTP, in any language. The
   * client's headers, except `Host`, and the query are passed on. If authentication is done in front of this middleware,
   * clients must not be able to reach the server in another way.
   */
  upstream?: string | URL | undefined;
  /**
   * How long the server at `upstream` may take to accept a connection, a notification, an answer or a DELETE. If a stream of
   * the server breaks, the node tries for the same time to resume it. Answers to requests have no limit. Default 10 seconds.
   */
  upstreamTimeoutMs?: number | undefined;
  /**
   * Whether `health()` depends on the server at `upstream`. With `true`, `health()` is `down` while the node cannot connect
   * to the server. The node tries every few seconds, unless requests show that the server answers. With a path such as
   * `/health`, the server has to answer a GET of that path with 2xx within `upstreamTimeoutMs`. With `false`, the node does
   * not check. Default `true`.
   */
  upstreamCheck?: boolean | string | undefined;
  /**
   * Whether the query of a client's request is added to the query of the `upstream` URL. A client cannot repeat a parameter
   * of that URL. Default `true`.
   */
  upstreamQuery?: boolean | undefined;
  /**
   * How many bytes one message of the server behind `upstream` or `handler` may have. A longer message ends its call with an
   * error, and its connection is closed. The maximum is 256 MiB. Default 32 MiB.
   */
  upstreamMessageBytes?: number | undefined;
  /**
   * Serves clients of revision 2026-07-28, which have no sessions, on the same mount, by the v2 SDK's own handler.
   * The function gets the bus of all nodes, so that `subscriptions/listen` hears of changes on each node. It is
   * called once, when the node is made, and the handler is closed with the node. If it is left out, requests of
   * that revision are refused, and clients that can do so use a session. An example is
   * `modern: ({ bus }) => ({ handler: createMcpHandler(build, { bus, legacy: 'reject' }), isLegacyRequest })`.
   */
  modern?: ((parts: { bus: ServerEventBus }) => Modern) | undefined;
  /**
   * A URL, or an ioredis `Redis` or `Cluster` whose settings the node copies. The node makes its own connections, and neither
   * uses nor closes the given client. If it is left out, sessions are in the memory of this process.
   */
  redis?: string | Redis | Cluster | undefined;
  /**
   * A ready-made backplane, in place of `redis`. Nodes in one process may share a `memoryBackplane()`. `docs/backplane.md` says
   * how to write another one.
   */
  backplane?: Backplane | undefined;
  /** Prefix of all Redis keys and channels. Default `mcp`. */
  prefix?: string | undefined;
  /**
   * How POSTs with requests are answered: as SSE streams, or as JSON. With `json`, notifications and requests that
   * belong to a call go to the client's GET stream. Default `sse`.
   */
  responseMode?: 'sse' | 'json' | undefined;
  /**
   * Which node runs a request. With `any`, it is the node that received the request. With `owner`, it is the
   * session's owner, for servers that keep a session's state in memory: a session has one server object at a time.
   * When its owner is dead or drained, the next request makes another node the owner, whose server object starts
   * anew (`rehydrated`). Default `any`.
   */
  affinity?: 'any' | 'owner' | undefined;
  /**
   * What a second GET without a cursor does while another one is open: it ends the first one (`takeover`), or gets
   * 409 (`reject`). Default `takeover`.
   */
  standaloneStream?: 'takeover' | 'reject' | undefined;
  /**
   * What becomes of a request whose node died, once its client is back on the stream. With `error`, the request
   * ends with a JSON-RPC error (-32000, `data.reason` is `node_lost` or `node_closed`). With `rerun-idempotent`, a
   * call of a tool that is annotated `idempotentHint` or `readOnlyHint` is run again, in the name of the client
   * that came back, unless the call had asked the client anything. Default `error`.
   */
  recovery?: 'error' | 'rerun-idempotent' | undefined;
  /**
   * Whether a request that changes nothing may begin before it is stored, on a node that has the session's server object. Then
   * the request and its answer are stored in one step instead of two, and the client waits for one round trip to Redis. Such
   * requests are `ping`, the lists, `resources/read`, `prompts/get`, `completion/complete`, and calls of tools that are annotated
   * `readOnlyHint`. If the request turns out to be refused (the session is gone, a limit is reached, an outbox is full), its
   * answer is dropped. Nothing is shown before it is stored. It has no effect with `affinity: 'owner'`, `handler` and `upstream`.
   * Default `true`.
   */
  earlyReads?: boolean | undefined;
  /**
   * Makes the ids of new sessions: visible ASCII without braces, at most 256 characters, unguessable. Default
   * `crypto.randomUUID`.
   */
  sessionIdGenerator?: (() => string) | undefined;
  /**
   * Says who is calling. A session answers to the caller that created it, and to no other. All callers for which it
   * returns `undefined` are one caller. The default reads what the usual authorization middlewares leave on the
   * request (listed in `docs/how-to/authenticate-callers.md`), and refuses an identity that it cannot read with
   * 403. Default: issuer, subject and client.
   */
  principal?: ((req: Request) => string | undefined) | undefined;
  /**
   * Values of the `Origin` header that are let in; others get 403. Requests without the header are let in. Default:
   * not checked.
   */
  allowedOrigins?: string[] | undefined;
  /**
   * Hosts, with or without port, that the `Host` header may name; others get 403. `docs/how-to/serve-browsers.md`
   * explains the default. Default: local names, on loopback connections and with `mcp.fetch`.
   */
  allowedHosts?: string[] | undefined;
  /** Whether every response has the header `X-Anynode-Node`, with the id of this node. Default `true`. */
  nodeHeader?: boolean | undefined;
  /**
   * How long an unused session lives. A session is in use while a stream is open or a call is running, and each request
   * counts as use. A session whose client has sent neither `notifications/initialized` nor a request lives for 5 minutes.
   * Default 24 hours.
   */
  sessionTtlMs?: number | undefined;
  /**
   * How much of a session's messages is kept for clients that resume: the number of events, their age, and their
   * bytes together. Default 10,000, 1 hour and 64 MiB.
   */
  retention?: { maxEvents?: number; maxAgeMs?: number; maxBytes?: number } | undefined;
  /**
   * How long a server object may be idle before the node discards it. Its session stays. With `affinity: 'owner'`, the
   * session's state would be lost with the server object, so the default is `sessionTtlMs` there. Default 5 minutes.
   */
  replicaIdleMs?: number | undefined;
  /**
   * How many server objects this node keeps. The one that was idle for longest is discarded first, and one that is
   * busy never. Default 10,000.
   */
  maxReplicas?: number | undefined;
  /**
   * How long a node holds its lease without renewing it, in milliseconds. Other nodes take a node for dead when two looks, at
   * least 0.9 s apart, have found its lease missing. Default 10 seconds.
   */
  leaseMs?: number | undefined;
  /** How long the backplane may take to answer. After that, the client gets 503. Default 2 seconds. */
  commandTimeoutMs?: number | undefined;
  /** Time between two comments that keep an SSE connection open. `0` sends none. Default 15 seconds. */
  keepAliveMs?: number | undefined;
  /** How long a client is told to wait before it comes back to a stream that was ended. Default 1 second. */
  retryMs?: number | undefined;
  /**
   * How long an SSE connection may stay open. After that, the node ends it if its client can come back. `0` ends none.
   * Default 1 hour.
   */
  maxStreamAgeMs?: number | undefined;
  /**
   * Whether clients of revision 2025-11-25 get an event with an id and without data first, so that they can resume
   * from the start. Default `true`.
   */
  primingEvents?: boolean | undefined;
  /** How many bytes a request body may have, unless a parser in front has read the body. Default 4 MiB. */
  maxBodyBytes?: number | undefined;
  /**
   * How many bytes may wait in memory for a client that reads slowly, per connection. The rest is read from the log
   * when the client takes it. Default 1 MiB.
   */
  maxBufferedBytes?: number | undefined;
  /** What one client may take. `docs/reference/limits.md` says what a client gets that goes beyond a limit. */
  limits?: { [Name in keyof Limits]?: Limits[Name] | undefined } | undefined;
  /** What becomes of the tasks in `taskStore`. */
  tasks?: TaskOptions | undefined;
  /**
   * Encodes what was said in sessions, for example by encryption, before it is stored in the backplane or sent between nodes.
   * That is: messages of both directions; what the client said at `initialize`; `session(id).state`; what accompanies a request
   * to another node; what the SDK's stores keep. `aesGcmCodec()` makes one. `docs/how-to/encrypt.md` says what stays in clear.
   * Default: none, so that messages are stored in clear.
   */
  codec?: PayloadCodec | undefined;
  /**
   * Changes what `sessions.events`, `sessions.export` and the audit trail show of a message: it returns the same message,
   * another one, or `undefined` for none. It gets a copy, which it may change. What is stored in the backplane, and what clients
   * get, stays as it is; for that there is `codec`. If it throws, the iteration rejects with that error, and the audit trail
   * leaves the message out. For the audit trail, the same message has to give the same result each time. Default: the message
   * as it is.
   */
  redact?: Redact | undefined;
  /**
   * Keeps the whole history of sessions in an audit trail, which outlives them. Each message and event is kept until it has
   * been delivered to a sink. Give all nodes the same bounds.
   * Default: none, so that the history of a session is kept as long as `retention` says, and ends with the session.
   */
  audit?: AuditOptions | undefined;
  /**
   * Spans and metrics with OpenTelemetry: `telemetry()` of `mcp-anynode/telemetry`. `docs/how-to/telemetry.md` lists
   * them. Default: none.
   */
  telemetry?: Telemetry | undefined;
  /**
   * Where the log goes: `console`, pino, or anything with `warn`, `error` and perhaps `info`. Default `console`.
   */
  logger?: Logger | undefined;
}
