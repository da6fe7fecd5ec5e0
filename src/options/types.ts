/** What users of the library see of sessions. */
import type { JsonRpcMessage, RequestId } from '../protocol/jsonrpc.js';

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
  /** As negotiated. While `initialize` is being answered: as the client asked. */
  protocolVersion: string;
  /**
   * Milliseconds since the epoch, by the clock of the backplane; while `initialize` is being answered, by that of the node.
   */
  createdAt: number;
  lastSeenAt: number;
  /** The last `logging/setLevel`; `undefined`: never set. */
  logLevel: string | undefined;
  /** URIs of `resources/subscribe`. */
  subscriptions: string[];
  /** The node that owns the session; `undefined` with `affinity: 'any'`. */
  owner: string | undefined;
  /** This node has no key for what the client said of itself; see the option `codec`. */
  unreadable?: true;
}

/**
 * What an event is.
 * - `session.created`: `initialize` was answered, by `nodeId`;
 * - `session.initialized`: the client has confirmed it, with `notifications/initialized`;
 * - `session.closed`: the session has ended, by DELETE or because nobody used it. Not in the log, which goes with the
 *   session: only whoever follows it is told;
 * - `message.received`, `message.sent`: a message of the client, or to it;
 * - `stream.resumed`: the client has come back to a stream with an event id. Of a session at most one in 10 s is logged,
 *   and says how many others there were;
 * - `request.cancelled`: the client took a request back, and it ended without an answer;
 * - `request.recovered`: the node of a request was gone, and `nodeId` runs it again;
 * - `request.failed`: the node of a request was gone, or closed, and the request ended with an error;
 * - `log.trimmed`: events between the one before and the one after may be missing, since they were not kept. Not in the log.
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
  /** Place in the log, to go on from (`after`). */
  id: string;
  /** Milliseconds since the epoch. */
  at: number;
  type: SessionEventType;
  /** Of a message, or of its place; `undefined` for what has happened to the session beside. */
  direction: 'in' | 'out' | undefined;
  /** The stream it belongs to; `undefined` for what the client sent outside of one. */
  stream: string | undefined;
  /** `undefined`: there is none, it was redacted, or it is `unreadable`. */
  message: JsonRpcMessage | undefined;
  /**
   * The node that it happened on: which received the request, asked the client, or did what is told. Left out where it
   * is not known.
   */
  nodeId?: string;
  /** Of a request or notification. */
  method?: string;
  /** Of the request that it is, answers, cancels or is about. */
  requestId?: RequestId;
  /** `request.recovered`, `request.failed`: the node that had run it, where that is known. */
  from?: string;
  /** `stream.resumed`: how often streams of the session were resumed since the last such event; left out: never. */
  skipped?: number;
  /** There is a message, and this node has no key for it; see the option `codec`. */
  unreadable?: true;
}

/** What the factory (the option `server`) is told of the session and of the request that needs its server object. */
export interface ServerContext {
  /** The session. While `initialize` is being answered: what the client asks for. */
  session: SessionInfo;
  /** `false` for the server object that answers the client's `initialize`, `true` for every later one. */
  rehydrated: boolean;
  /**
   * `req.auth` of the request that needs the server object. `undefined` if that request had none, and where the server
   * object is built without a request at hand: the node of a call died, and the call is run again (`recovery`).
   */
  authInfo: AuthInfo | undefined;
  /** Headers and URL of the request that needs the server object. `undefined` where none is at hand, as for `authInfo`. */
  requestInfo: { headers: Record<string, string>; url: URL } | undefined;
}

/** An MCP server: `McpServer` or `Server` of the SDK (v1, or v2 for clients of 2025), or anything that connects like them. */
export interface ServerLike {
  connect(transport: ServerTransport): Promise<void>;
  close(): Promise<void>;
}

/** The SDK's `Transport`, as far as servers use it. */
export interface ServerTransport {
  sessionId?: string;
  onclose?: (() => void) | undefined;
  onerror?: ((error: Error) => void) | undefined;
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- each SDK line has its own message types
  onmessage?: ((message: any, extra?: any) => void) | undefined;
  /**
   * Set by a server that hears and speaks with a delay: what it says until this resolves belongs to what it was told
   * again, and the client has had it.
   *
   * @internal
   */
  onreplayed?: (() => Promise<void>) | undefined;
  /**
   * Set by such a server: how many bytes of what it was told, and was to answer nothing to, it has not passed on.
   *
   * @internal
   */
  backlog?: (() => number) | undefined;
  start(): Promise<void>;
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- as above
  send(message: any, options?: { relatedRequestId?: RequestId }): Promise<void>;
  close(): Promise<void>;
}

/** The subset of `console` or a pino logger that is used. Messages never contain tokens or message bodies. */
export interface Logger {
  /** What is as it should be, and good to know. Left out: not logged. */
  info?(message: string): void;
  warn(message: string): void;
  error(message: string): void;
}
