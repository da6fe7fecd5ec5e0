/**
 * What a node tells telemetry. `mcp-anynode/telemetry` implements it with OpenTelemetry, which no other part of the library
 * imports. Without the option `telemetry` there is no such object, and each place that would call it does nothing.
 *
 * No function throws, except what a function throws that it was given to run.
 */
import type { JsonRpcRequest, JsonRpcResponse, RequestId } from '../protocol/json/jsonrpc.js';

/** The value of the option `telemetry`. */
export interface Telemetry {
  /** Called once for each node that is made with it. */
  observe(node: ObservedNode): NodeTelemetry;
}

/** What telemetry reads of a node from time to time. */
export interface ObservedNode {
  nodeId: string;
  /** Sessions of which this node has a server object, or is using one. */
  sessions(): number;
  replicas(): number;
  streams(): number;
  requests(): number;
  /** Bytes that wait in this node for clients which read slowly. */
  bufferedBytes(): number;
}

/** A request of a client: its stream, and its id. No two requests have the same of both. */
export interface RequestName {
  stream: string;
  id: RequestId;
}

/** The HTTP request that brought a request, as far as telemetry reads it. */
export interface ArrivedBy {
  headers: Readonly<Record<string, string>> | undefined;
  /** `1.1`, for instance, if it is known. */
  httpVersion: string | undefined;
}

/** What happens that is a span of its own, beside the requests. Each is linked to the request that it is about. */
export type LinkedEvent =
  /** A client has resumed a stream. */
  | 'resume'
  /** A connection has taken a stream from another one, or a node a session from its dead owner. */
  | 'takeover'
  /** A request of a dead or closed node has ended with an error. */
  | 'orphan';

/** The session that a {@link LinkedEvent} is about, and the stream and the trace of the request, if it is about one. */
export interface LinkedTo {
  sessionId: string;
  stream: string | undefined;
  trace: string | undefined;
}

/** What is counted. */
export type Counter =
  | 'fenced'
  | 'leaseLapses'
  | 'logTrimmed'
  | 'orphans'
  | 'refusals'
  | 'resumes'
  | 'takeovers'
  | 'wakeupsMissed';

/** What is measured in milliseconds. */
export type Duration =
  'backplaneOperation' | 'deliveryLag' | 'drain' | 'ownerHop' | 'rehydrate' | 'session';

/** Attributes of a count or a duration. They never have the id of a session, a principal, or anything else without bound. */
export type Labels = Readonly<Record<string, string>>;

export interface NodeTelemetry {
  /** False if no SDK records metrics. Then the node need not take the time of anything. */
  hasMetrics: boolean;
  /**
   * True as long as no part of an SDK is registered that could record the current HTTP request, or carry its context on.
   * Then telemetry need not hear of its requests.
   */
  isOff(): boolean;
  /**
   * A request has arrived by HTTP. The HTTP request must be the current context. Returns the trace of the request, which is
   * stored with it and goes to other nodes (see `protocol/trace.ts`).
   */
  requestArrived(
    stream: string,
    request: JsonRpcRequest,
    sessionId: string,
    by: ArrivedBy,
  ): string | undefined;
  /** This node begins a request that arrived on another node, or that another node had begun. `trace` is what that one had. */
  requestTaken(
    stream: string,
    request: JsonRpcRequest,
    sessionId: string,
    taken: { how: 'owner_hop' | 'rerun'; trace: string | undefined },
  ): void;
  /**
   * Runs a function so that what it starts belongs to the request. `protocolVersion` is that of the session, if the node
   * knows it. The HTTP request need not have named it.
   */
  runWithin<T>(request: RequestName, run: () => T, protocolVersion?: string): T;
  /** Another node runs a request that arrived here. */
  requestHandedOn(request: RequestName, owner: string): void;
  /** The connection of a request ended. It ends what telemetry has of a request that another node runs. */
  connectionEnded(stream: string): void;
  /** A request has ended: with a response, without one because it was cancelled, or because of `failure`. */
  requestEnded(request: RequestName, response: JsonRpcResponse | undefined, failure?: string): void;
  /** The server asks the client. Returns the question with the context that the client continues. */
  questionAsked<T extends JsonRpcRequest>(question: T, sessionId: string): T;
  /** A client has answered a question of this node. */
  questionAnswered(id: RequestId, response: JsonRpcResponse): void;
  /** No node waits for the answer to a question any more. */
  questionDropped(id: string): void;
  /**
   * Something has happened to a request, or to a session (without a stream). `trace` is the trace of that request, as far as
   * it is known.
   */
  happened(event: LinkedEvent, about: LinkedTo, labels?: Labels): void;
  count(what: Counter, labels?: Labels): void;
  measure(what: Duration, milliseconds: number, labels?: Labels): void;
  /** The headers with which a server behind continues the current context. All of them can be sent. */
  headers(): Record<string, string>;
  /** The node has closed. It is observed no more. */
  close(): void;
}
