import type { HttpAnswer } from '../protocol/http-answer.js';
import type { JsonRpcMessage, JsonRpcRequest, RequestId } from '../protocol/json/jsonrpc.js';
import type { AuthInfo, ServerContext, ServerLike } from '../options/public-types.js';

/**
 * A server object of one session on this node. It takes the client's messages, and emits the server's messages. Today the
 * server is an object of the SDK, but users of this interface do not depend on that.
 */
export interface Replica {
  deliver(message: JsonRpcMessage, context?: DeliveryContext): void;
  /**
   * Replays messages to the server, and resolves when it has answered them. The client sees neither the answers nor the
   * notifications that the server sends meanwhile, because it has had them. Requests of the server reach the client, since
   * a fresh server may need the answers (roots, for instance).
   */
  replay(messages: ReplayMessage[]): Promise<void>;
  /** Closes the connection to the server. */
  close(): Promise<void>;
}

export type ReplayMessage = Pick<JsonRpcRequest, 'method' | 'params'> & { expectsAnswer: boolean };

/** The functions that a replica calls. */
export interface ReplicaEvents {
  /**
   * Called with a message of the server. `relatedTo` is the client's request that the message belongs to. `httpAnswer` is
   * the HTTP response for an answer to `initialize`, if the server has set it. Resolves once stored.
   */
  emit(
    message: JsonRpcMessage,
    relatedTo: RequestId | undefined,
    httpAnswer?: HttpAnswer,
  ): Promise<void>;
  /** Called when a notification of the server could not be stored. The server itself gets no error. */
  undelivered(method: string, why: unknown): void;
  /** Called when the server has closed its connection by itself. */
  closed(): void;
}

/** What a server gets along with a message. It is never stored. */
export interface DeliveryContext {
  authInfo: AuthInfo | undefined;
  requestInfo: RequestInfo | undefined;
  /** Used to call a `handler` with a similar request: see `intercept/http/origin.ts`. Servers of the SDK do not see it. */
  mounted?: Mounted | undefined;
  /** Ends the connection of the request's stream, if the client can come back. */
  closeSSEStream?: (() => void) | undefined;
  /** Ends the connection of the standalone stream. */
  closeStandaloneSSEStream?: (() => void) | undefined;
  /** The trace of the request, for telemetry. See `protocol/trace.ts`. */
  trace?: string | undefined;
}

/** The argument of a factory. Factories of this library also get the HTTP request that needs the replica. */
export type FactoryContext = ServerContext & Pick<DeliveryContext, 'requestInfo'>;

/** Builds the server object of a replica. `mounted` describes the HTTP request that needs the replica. */
export type Factory = (
  context: FactoryContext,
  mounted: Mounted | undefined,
) => ServerLike | Promise<ServerLike>;

/** The request for which a replica is built. */
export type Cause = Pick<DeliveryContext, 'authInfo' | 'requestInfo' | 'mounted'>;

/** The HTTP request that brought a message. */
export interface RequestInfo {
  headers: Record<string, string>;
  url: URL;
}

/** How the HTTP request looked where this middleware is mounted. */
export interface Mounted {
  /** `req.baseUrl`. */
  readonly base: string;
  /** What a body parser in front of this middleware has made of the body. */
  readonly parsed: 'json' | 'text' | 'raw' | undefined;
  /** Express's request object. Only the node that received the request has it. */
  readonly req?: object;
}
