/** What an observer sees of a backplane, who is none of its nodes: the command line and `observe()`. Only Redis can be observed. */
import type { Holder, LogEntry, LogId, SessionRecord, SessionRecords } from './backplane.js';

/**
 * An observer holds no lease, subscribes to nothing, and writes nothing but with `remove`. Every call may reject with
 * `backplane_unavailable`, within the time that was given for it.
 */
export interface Observation extends SessionRecords {
  /** Returns how many sessions are listed. Some of them may have ended. */
  listed(): Promise<number>;
  /** Returns what the clock of the backplane says, from which log ids come, in milliseconds since the epoch. */
  now(): Promise<number>;
  /**
   * Looks at some of all keys for leases of nodes, from `from` on (left out: from the start). `next`: the `from` of the next call;
   * without it these were the last keys. All calls of a round together find every node that was there throughout.
   */
  sweep(from?: string): Promise<{ nodeIds: string[]; next?: string }>;
  /** Returns the leases of those of these nodes that hold one. */
  leases(nodeIds: string[]): Promise<Lease[]>;
  /** Returns many records in one go, in the order of the ids. `undefined`: no such session. */
  sessions(ids: string[]): Promise<(SessionRecord | undefined)[]>;
  /** Returns the streams of many sessions in one go, in the order of the ids. `undefined`: no such session. */
  tables(ids: string[]): Promise<(StreamTable | undefined)[]>;
  /** Returns how long a session has left. `undefined`: no such session. */
  lifetime(id: string): Promise<Lifetime | undefined>;
  /** Returns entries of several logs in one go, as `history` does for one. */
  histories(from: { id: string; after: LogId; count: number }[]): Promise<LogEntry[][]>;
  /** Returns the last `count` entries of a log before the place `before`, oldest first. */
  historyBefore(id: string, before: LogId, count: number): Promise<LogEntry[]>;
  /** Closes the connections. */
  close(): void;
}

export interface Lease {
  nodeId: string;
  leftMs: number;
  /** What the node says of itself. Empty for a node that says nothing. */
  about: NodeAbout;
}

export interface NodeAbout {
  /** When it joined, in milliseconds since the epoch by its own clock. */
  startedAt?: number;
  host?: string;
  pid?: number;
  /** The version of this package on that node. */
  version?: string;
}

/** The open streams and running requests of a session at one moment. */
export interface StreamTable {
  streams: StreamState[];
  requests: { id: string; stream: string }[];
  /** Nodes with a replica. Nodes that have died may be among them. */
  replicas: string[];
  /** How many bytes were logged since the session began: those of the messages, and 100 for each entry. */
  loggedBytes: number;
}

export interface StreamState {
  name: string;
  /** The number of its last message, 0 for none, and its place. */
  last: { n: number; logId: LogId };
  /** The connection that follows it, if there is one. */
  holder?: Holder;
  /** The node that runs its requests. Missing for the standalone stream. */
  executor?: string;
  begun: boolean;
}

/** How long a session has left, and how much of its log there is. */
export interface Lifetime {
  leftMs: number;
  events: number;
  /** The bytes of the messages that are kept, and 100 for each entry. */
  bytes: number;
  oldest?: LogId;
  newest?: LogId;
}
