/** What can be seen of a backplane without being one of its nodes. */
import type { Holder, LogEntry, LogId, SessionRecord, SessionRecords } from './backplane.js';

/**
 * Holds no lease, subscribes to nothing, and writes nothing but by `remove`. Every call may reject with
 * `backplane_unavailable`, within the time that was given for it.
 */
export interface Observation extends SessionRecords {
  /** How many sessions are listed, some of which may be gone. */
  listed(): Promise<number>;
  /** The clock of the backplane: log ids come from it. */
  now(): Promise<number>;
  /**
   * Looks at some of all keys for leases of nodes, from `from` on. `next`: where to go on; none: that were all. A full
   * round finds every node that was there throughout.
   */
  sweep(from?: string): Promise<{ nodeIds: string[]; next?: string }>;
  /** Of these nodes, those that hold a lease. */
  leases(nodeIds: string[]): Promise<Lease[]>;
  /** Many in one go; `undefined`: no such session. */
  sessions(ids: string[]): Promise<(SessionRecord | undefined)[]>;
  tables(ids: string[]): Promise<(StreamTable | undefined)[]>;
  lifetime(id: string): Promise<Lifetime | undefined>;
  /** Entries of several logs, in one go. */
  histories(from: { id: string; after: LogId; count: number }[]): Promise<LogEntry[][]>;
  close(): void;
}

export interface Lease {
  nodeId: string;
  leftMs: number;
  /** What the node says of itself; empty from a node that says nothing. */
  about: NodeAbout;
}

export interface NodeAbout {
  /** When it joined, in milliseconds since the epoch by its own clock. */
  startedAt?: number;
  host?: string;
  pid?: number;
  /** Of this package, there. */
  version?: string;
}

/** Streams and requests of a session, as they are at one moment. */
export interface StreamTable {
  streams: StreamState[];
  requests: { id: string; stream: string }[];
  /** Nodes with a replica; those that died are among them. */
  replicas: string[];
  /** How many bytes were ever logged: of messages, and 100 for each entry. */
  loggedBytes: number;
}

export interface StreamState {
  name: string;
  /** The number of its last message, 0 for none, and its place. */
  last: { n: number; logId: LogId };
  /** The connection that follows it. */
  holder?: Holder;
  /** The node that runs its requests; none for the standalone stream. */
  executor?: string;
  begun: boolean;
}

/** How long a session and its log have left, and how much of the log there is. */
export interface Lifetime {
  leftMs: number;
  events: number;
  /** Of the messages that are kept, and 100 for each entry. */
  bytes: number;
  oldest?: LogId;
  newest?: LogId;
}
