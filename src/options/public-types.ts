/** What users of the library see of sessions. */
import type { HttpAnswer } from '../protocol/http-answer.js';
import type { JsonRpcMessage, RequestId } from '../protocol/json/jsonrpc.js';

/** Who is calling, as an authorization middleware left it in `req.auth`. The fields of the SDK's `AuthInfo`. */
export interface AuthInfo {
  token: string;
  clientId: string;
  scopes: string[];
  expiresAt?: number;
  resource?: URL;
  extra?: Record<string, unknown>;
}

/** A session as it is stored. */
export interface SessionInfo {
  id: string;
  /** `initialized`: the handshake was answered. `active`: the client has confirmed it (`notifications/initialized`). */
  state: 'initialized' | 'active';
  clientInfo: { name: string; version: string; [key: string]: unknown };
  clientCapabilities: Record<string, unknown>;
  /** The version that was negotiated. While `initialize` is being answered, it is the one that the client asked for. */
  protocolVersion: string;
  /**
   * When the session was created, in milliseconds since the epoch, by the clock of the backplane. While `initialize` is being
   * answered, it is by the clock of the node.
   */
  createdAt: number;
  /** When the session was last used, in milliseconds since the epoch. */
  lastSeenAt: number;
  /** The last `logging/setLevel`, or `undefined` if there was none. */
  logLevel: string | undefined;
  /** The URIs that the client is subscribed to (`resources/subscribe`). */
  subscriptions: string[];
  /** How many requests of the client have ended with an error: a JSON-RPC error, or a tool's result with `isError`. */
  errors: number;
  /** The caller to whom the session belongs, as the option `principal` named it. It is `undefined` for anonymous callers. */
  principal: string | undefined;
  /** The node that owns the session. It is `undefined` with `affinity: 'any'`. */
  owner: string | undefined;
  /** `true` if this node has no key for what the client said of itself; see the option `codec`. */
  unreadable?: true;
}

/**
 * What an event is.
 *
 * - `session.created`: the node `nodeId` has answered `initialize`.
 * - `session.initialized`: the client has confirmed that, with `notifications/initialized`.
 * - `session.closed`: the session has ended, by DELETE or because it was not used. It is not in the log, because the log is
 *   deleted with the session. Only an iteration that follows the session yields it.
 * - `message.received`, `message.sent`: a message of the client, or a message to it.
 * - `stream.resumed`: the client has come back to a stream with an event id. At most one in 10 s is logged for a session. It
 *   says how many others there were.
 * - `request.cancelled`: the client took a request back, and the request ended without an answer.
 * - `request.recovered`: the node of a request was gone, and the node `nodeId` runs the request again.
 * - `request.failed`: the node of a request was gone, or closed, and the request ended with an error.
 * - `log.trimmed`: events may be missing at this place, because they were not kept. It is not in the log.
 */
export type SessionEventType =
  | 'session.created'
  | 'session.initialized'
  | 'session.closed'
  | 'message.received'
  | 'message.sent'
  | 'stream.resumed'
  | 'request.cancelled'
  | 'request.recovered'
  | 'request.failed'
  | 'log.trimmed';

/** One entry of a session's event log. */
export interface SessionEvent {
  /** The place of the event in the log. The option `after` takes it. */
  id: string;
  /** When it happened, in milliseconds since the epoch. */
  at: number;
  /** What the event is. */
  type: SessionEventType;
  /** The direction of a message: from the client, or to it. It is `undefined` for events that are no messages. */
  direction: 'in' | 'out' | undefined;
  /** The stream that the event belongs to. It is `undefined` for what the client sent outside of a stream. */
  stream: string | undefined;
  /** The message. It is `undefined` if there is none, if it was redacted, or if it is `unreadable`. */
  message: JsonRpcMessage | undefined;
  /**
   * The node on which it happened: the node that received the client's message, sent the server's, or did what the event
   * says. It is left out if it is not known.
   */
  nodeId?: string;
  /**
   * With `message.sent`: the node that held the client's connection when the message was stored, and showed it. `null`: no
   * node held one, so the message waited for the client to come back. Left out if it is not known.
   */
  shownBy?: string | null;
  /** The method of a request or notification. */
  method?: string;
  /** The id of a request. The event is that request, its answer or its cancellation, or is about it. */
  requestId?: RequestId;
  /** With `request.recovered` and `request.failed`: the node that had run the request, if it is known. */
  from?: string;
  /**
   * With `stream.resumed`: how many times streams of the session were resumed since the last such event. Left out
   * if there were none.
   */
  skipped?: number;
  /** With a request of the client, if the node has `telemetry`: its `traceparent` (W3C Trace Context). */
  trace?: string;
  /** `true` if there is a message, and this node has no key for it; see the option `codec`. */
  unreadable?: true;
}

/** What the factory (the option `server`) is told of the session and of the request that needs its server object. */
export interface ServerContext {
  /** The session. While `initialize` is being answered, it holds what the client asks for. */
  session: SessionInfo;
  /** `false` for the server object that answers the client's `initialize`, `true` for every later one. */
  rehydrated: boolean;
  /**
   * `req.auth` of the request that needs the server object. It is `undefined` if that request had none. It is also
   * `undefined` if no request is at hand: the node of a call died, and the call is run again (`recovery`).
   */
  authInfo: AuthInfo | undefined;
  /** Headers and URL of the request that needs the server object. It is `undefined` if no request is at hand. */
  requestInfo: { headers: Record<string, string>; url: URL } | undefined;
}

/** An MCP server: `McpServer` or `Server` of the SDK (v1, or v2 for clients of 2025), or anything that connects like them. */
export interface ServerLike {
  connect(transport: ServerTransport): Promise<void>;
  close(): Promise<void>;
}

/** The event of the message that `redact` is asked about. */
export interface RedactContext extends Pick<SessionEvent, 'id' | 'at' | 'type' | 'stream'> {
  sessionId: string;
  direction: 'in' | 'out';
}

/** See the option `redact`. */
export type Redact = (
  message: JsonRpcMessage,
  context: RedactContext,
) => JsonRpcMessage | undefined;

/** Options of `taskStore`. */
export interface TaskOptions {
  /** The longest time that a task is kept, from its creation, and again from its end. Default 24 hours. */
  maxTtlMs?: number | undefined;
  /** How many tasks a session may have. Creating more fails. Default 1,000. */
  maxPerSession?: number | undefined;
  /**
   * What happens to a task if its node dies before the task ends. With `fail`, the task has `failed` from when a client next
   * asks for it. With `keep`, the task stays as it is, for servers whose tasks are worked on elsewhere. The node of a task
   * is the one that created it, or the last one that gave it a status. Default `fail`.
   */
  orphans?: 'fail' | 'keep' | undefined;
}

/** What a server says with a message. */
export interface SendOptions {
  relatedRequestId?: RequestId;
  /**
   * Set with an answer to `initialize` by a server behind HTTP: the HTTP response that the client gets for it.
   *
   * @internal
   */
  httpAnswer?: HttpAnswer;
}

/** The SDK's `Transport`, as far as servers use it. */
export interface ServerTransport {
  sessionId?: string;
  onclose?: (() => void) | undefined;
  onerror?: ((error: Error) => void) | undefined;
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- each SDK line has its own message types
  onmessage?: ((message: any, extra?: any) => void) | undefined;
  /**
   * Set by a server that is reached over HTTP, and so gets and sends messages with a delay. The messages that it sends until
   * this resolves react to replayed messages, and the client has had them before.
   *
   * @internal
   */
  onreplayed?: (() => Promise<void>) | undefined;
  /**
   * Set by such a server. Returns how many bytes of messages that need no answer it has not passed on yet.
   *
   * @internal
   */
  backlog?: (() => number) | undefined;
  start(): Promise<void>;
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- as above
  send(message: any, options?: SendOptions): Promise<void>;
  close(): Promise<void>;
}

/** The subset of `console` or a pino logger that is used. Messages never contain tokens or message bodies. */
export interface Logger {
  /** Logs what is in order and good to know. If it is left out, that is not logged. */
  info?(message: string): void;
  warn(message: string): void;
  error(message: string): void;
}
