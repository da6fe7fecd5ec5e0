/** The records of the ledger, one type after another. */
import type { LogId } from '../../src/backplane/backplane.js';
import type { Exchange } from './exchange.js';

/** One entry of a stream, as it was stored. */
export interface Stored {
  sessionId: string;
  stream: string;
  n: number;
  /** The id of the event that shows the entry. */
  id: string;
  /** The message, or `undefined` if the entry only ends the stream. */
  message: string | undefined;
  end: boolean;
  asker: string | undefined;
  nodeId: string;
  at: number;
  /** True if a failover has lost the entry. */
  lost: boolean;
  logId: LogId;
  /** When the log was first seen to begin after this entry. */
  trimmedAt: number | undefined;
}

/** A step by which another node became the executor of a stream. */
export interface Claimed {
  sessionId: string;
  stream: string;
  from: string;
  by: string;
  at: number;
  lost: boolean;
}

/** A request of a client, while its id is in use. */
export interface Opened {
  sessionId: string;
  stream: string;
  id: string;
  at: number;
  endedAt: number | undefined;
}

/** A step by which a node was given the requests of a stream, or has said again that it runs them. */
export interface Begun {
  sessionId: string;
  stream: string;
  nodeId: string;
  lost: boolean;
}

/** A time of which the backplane has lost everything that was stored of a session. */
export interface Loss {
  sessionId: string;
  since: number;
  at: number;
}

/** A message of a server, with a mark that no other message has. */
export interface Said {
  mark: string;
  /** True if it belongs to the stream of its call. Otherwise it belongs to the standalone stream. */
  related: boolean;
  at: number;
  outcome: 'pending' | 'stored' | 'failed' | 'unknown';
}

/** A notification to one session from outside of a call. */
export interface Pushed {
  sessionId: string;
  mark: string;
  outcome: 'pending' | 'stored' | 'failed';
}

/** An addition of 1 to the number that is the state of a session. */
export interface Counted {
  sessionId: string;
  at: number;
  outcome: 'pending' | 'stored' | 'failed';
}

/** A notification to all sessions that existed at that time. */
export interface Broadcast {
  at: number;
  /** The URI of the resource that has changed, or `undefined` if the tools have changed. */
  uri: string | undefined;
  acknowledgedAt: number | undefined;
}

/** A request to the client of a session from outside of a call (`session(id).request`). */
export interface Requested {
  sessionId: string;
  nodeId: string;
  mark: string;
  at: number;
  /** When the client was told, with 202, that its answer is stored. */
  acknowledgedAt: number | undefined;
  /** `waiting`, `answered`, or the code of an error. */
  outcome: string;
  endedAt: number | undefined;
}

/** One run of a tool. */
export interface Execution {
  id: number;
  sessionId: string;
  nodeId: string;
  /** The server object that ran it. */
  server: object;
  requestId: string;
  /** The progress token of the request. No other request of the client has it, while request ids are used again. */
  key: string;
  tool: string;
  at: number;
  /** Whether the request was stored when it began. */
  wasStored: boolean;
  said: Said[];
  /** `stopped`: the request was cancelled, or the server was closed. */
  state: 'running' | 'answered' | 'stopped';
  endedAt: number | undefined;
}

/** A question: a request of a server to its client. */
export interface Question {
  mark: string;
  execution: Execution;
  at: number;
  /** When the client was told, with 202, that its answer is stored. */
  acknowledgedAt: number | undefined;
  /** How the question ended for the server. */
  outcome: 'waiting' | 'answered' | 'timeout' | 'stopped';
  endedAt: number | undefined;
}

/** The stream and the number that an event id names. */
export interface Place {
  id: string;
  stream: string;
  n: number;
}

/** An event that a client received. */
export interface Shown extends Place {
  /** The data of the event. It is empty for a priming event. */
  data: string;
  at: number;
}

/** The requests of one POST, as their client sees them. */
export interface CallRecord {
  client: string;
  sessionId: string;
  ids: string[];
  /** The progress tokens of the requests that call tools, by request id. */
  tokens: Map<string, string | undefined>;
  at: number;
  status: number | 'cut' | undefined;
  stream: string | undefined;
  cancelled: Set<string>;
  /** The change of the session's shape that the request makes, and the shape that tools of the POST found, by request id. */
  change: { name: string; value: string } | undefined;
  found: Map<string, Map<string, string>>;
  /** The marks or error codes that came as answers, by request id. */
  answers: Map<string, string[]>;
  /** `lost`: the connection ended, and the client had no cursor with which to resume. */
  state: 'open' | 'answered' | 'refused' | 'lost' | 'ended' | 'trimmed' | 'gone' | 'left';
  endedAt: number | undefined;
  /** True if the connection broke, and the client comes back only when nothing fails any more. */
  comesBackLate?: true;
}

/** One connection of a client that shows a stream. */
export interface Showing {
  connection: string;
  client: string;
  sessionId: string;
  nodeId: string;
  method: 'GET' | 'POST';
  /** The place that the client asked to go on from. */
  cursor: Place | undefined;
  at: number;
  /** The events that reached the client. */
  shown: Shown[];
  ended: 'end' | 'cut' | 'given up' | undefined;
  endedAt: number | undefined;
}

/** One HTTP request of a client. */
export interface Asked {
  what: string;
  client: string;
  principal: string;
  sessionId: string | undefined;
  slot: number;
  method: string;
  at: number;
  /** The place that it asks to go on from. */
  cursor: Place | undefined;
  /** `undefined`: there was no node to connect to. */
  exchange: Exchange | undefined;
  /** Its messages, as they were sent. */
  messages: object[];
  status: number | 'cut' | undefined;
  retryAfter: string | undefined;
  answeredAt: number | undefined;
  /** Whether it had to be refused, whatever state the session is in, with this status. */
  expected: number | undefined;
  /** By the transport HTTP+SSE. */
  isLegacy: boolean;
}

/** A request of an HTTP+SSE client. */
export interface LegacyCall {
  /** As JSON, as a key of the log. */
  id: string;
  token: string | undefined;
  at: number;
  /** Of the POST; `undefined`: there is no answer to it yet. */
  status: number | 'cut' | undefined;
  cancelled: boolean;
  /** The marks or error codes that the connection showed as the answer, and when it showed the first. */
  answers: string[];
  answeredAt: number | undefined;
}

/** The one connection of a session of HTTP+SSE, as its client sees it. */
export interface LegacyConnection {
  connection: string;
  client: string;
  sessionId: string;
  /** The node that holds it. */
  nodeId: string;
  /** `undefined`: there was no node to connect to. */
  exchange: Exchange | undefined;
  at: number;
  /** The texts of the messages, in the order in which they came. */
  shown: string[];
  calls: LegacyCall[];
  /** `left`: the client has closed it. */
  ended: 'end' | 'cut' | 'left' | undefined;
  endedAt: number | undefined;
}
