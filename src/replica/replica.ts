import type { JsonRpcMessage, JsonRpcRequest, RequestId } from '../protocol/jsonrpc.js';
import type { AuthInfo, ServerContext, ServerLike } from '../options/types.js';

/**
 * A live server of one session on this node: takes client→server messages, emits server→client messages. What is
 * behind it is not known here; today that is an object of the SDK.
 */
export interface Replica {
  deliver(message: JsonRpcMessage, context?: DeliveryContext): void;
  /**
   * Repeats to the server what shaped the session, and resolves when it has answered. Nothing of it reaches the client:
   * neither the answers nor notifications sent meanwhile (the client has had them); requests do, since a fresh server
   * may need the answers (roots, say).
   */
  replay(messages: ReplayMessage[]): Promise<void>;
  /** The server is discarded. `emit` and `closed` are not called any more. */
  close(): Promise<void>;
}

export type ReplayMessage = Pick<JsonRpcRequest, 'method' | 'params'> & { expectsAnswer: boolean };

/** What a replica calls. */
export interface ReplicaEvents {
  /** A message of the server. `relatedTo`: the client's request that it belongs to. Resolves when it is stored. */
  emit(message: JsonRpcMessage, relatedTo: RequestId | undefined): Promise<void>;
  /** A notification of the server could not be stored or shown; nobody else hears of it. */
  undelivered(method: string, why: unknown): void;
  /** The server has closed its connection by itself. */
  closed(): void;
}

/** What accompanies a message and is never stored. */
export interface DeliveryContext {
  authInfo: AuthInfo | undefined;
  requestInfo: RequestInfo | undefined;
  /** Where the client can come back: ends the connection of the request's stream, or of the standalone stream. */
  closeSSEStream?: (() => void) | undefined;
  closeStandaloneSSEStream?: (() => void) | undefined;
}

/** What a factory is told; factories of this library also get the HTTP request that needs the replica. */
export type FactoryContext = ServerContext & Pick<DeliveryContext, 'requestInfo'>;

/** Builds the server object of a replica. */
export type Factory = (context: FactoryContext) => ServerLike | Promise<ServerLike>;

/** Why a replica is needed: the request that it is built for. */
export type Cause = Pick<DeliveryContext, 'authInfo' | 'requestInfo'>;

/** The HTTP request that brought a message. */
export interface RequestInfo {
  headers: Record<string, string>;
  url: URL;
  /** For a handler that is called with the like of it: see `intercept/http/origin.ts`. */
  readonly [MOUNTED]?: Mounted;
}

export const MOUNTED = Symbol('mounted');

/** How the request looked to what is mounted behind this middleware. */
export interface Mounted {
  /** `req.baseUrl`. */
  base: string;
  /** What a body parser in front has made of the body. */
  parsed: 'json' | 'text' | 'raw' | undefined;
  /** Express's request itself; not on another node than that which received it. */
  req?: object;
}
