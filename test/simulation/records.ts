/** What the ledger keeps, one kind of record after another. */
import type { LogId } from '../../src/backplane/backplane.js';
import type { Exchange } from './exchange.js';

/** One entry of a stream, as it was stored. */
export interface Stored {
  sessionId: string;
  stream: string;
  n: number;
  /** Of the event that shows it. */
  id: string;
  /** `undefined`: the stream just ends. */
  message: string | undefined;
  end: boolean;
  asker: string | undefined;
  nodeId: string;
  at: number;
  /** The backplane has gone back to where it was before. */
  lost: boolean;
  logId: LogId;
  /** When it was seen that the log begins behind it. */
  trimmedAt: number | undefined;
}

/** A stream is another node's now. */
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

/** A node was given the requests of a stream, or has said that it still has them. */
export interface Begun {
  sessionId: string;
  stream: string;
  nodeId: string;
  lost: boolean;
}

/** The backplane has lost what was stored of a session in this time. */
export interface Loss {
  sessionId: string;
  since: number;
  at: number;
}

/** Something that a server said, with a mark that nothing else has. */
export interface Said {
  mark: string;
  /** On the stream of its call, else on the standalone stream. */
  related: boolean;
  at: number;
  outcome: 'pending' | 'stored' | 'failed' | 'unknown';
}

/** Told to one session from outside of a call. */
export interface Pushed {
  sessionId: string;
  mark: string;
  outcome: 'pending' | 'stored' | 'failed';
}

/** One step up of the number that is the state of a session. */
export interface Counted {
  sessionId: string;
  at: number;
  outcome: 'pending' | 'stored' | 'failed';
}

/** Told to all sessions, and stored for those that were there. */
export interface Broadcast {
  at: number;
  /** Of the resource that has changed; `undefined`: the tools have. */
  uri: string | undefined;
  acknowledgedAt: number | undefined;
}

/** Asked of the client of a session outside of a call: `session(id).request`. */
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
  /** Its progress token, which no other request of its client has: ids are used again. */
  key: string;
  tool: string;
  at: number;
  said: Said[];
  /** `stopped`: cancelled, or its server was closed. */
  state: 'running' | 'answered' | 'stopped';
  endedAt: number | undefined;
}

/** A question of a server to its client. */
export interface Question {
  mark: string;
  execution: Execution;
  at: number;
  /** When the client was told, with 202, that its answer is stored. */
  acknowledgedAt: number | undefined;
  /** How it ended for the server. */
  outcome: 'waiting' | 'answered' | 'timeout' | 'stopped';
  endedAt: number | undefined;
}

/** What an event id names. */
export interface Place {
  id: string;
  stream: string;
  n: number;
}

/** One event that a client got. */
export interface Shown extends Place {
  /** The text of its data; empty for a priming event. */
  data: string;
  at: number;
}

/** The requests of one POST, as their client sees them. */
export interface CallRecord {
  client: string;
  sessionId: string;
  ids: string[];
  /** The progress tokens of those that call tools, by request id. */
  tokens: Map<string, string | undefined>;
  at: number;
  status: number | 'cut' | undefined;
  stream: string | undefined;
  cancelled: Set<string>;
  /** What the request changes of what the session remembers; and what tools of the POST found, by request id. */
  change: { name: string; value: string } | undefined;
  found: Map<string, Map<string, string>>;
  /** By request id: the marks or error codes that came. */
  answers: Map<string, string[]>;
  /** `lost`: the connection ended, and there was no cursor to come back with. */
  state: 'open' | 'answered' | 'refused' | 'lost' | 'ended' | 'trimmed' | 'gone' | 'left';
  endedAt: number | undefined;
  /** Its connection broke, and its client comes back only when nothing fails any more. */
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
  /** What reached the client. */
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
