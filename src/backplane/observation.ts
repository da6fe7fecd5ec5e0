/**
 * How an observer reads a backplane. An observer is not a node: it is the command line, or a program that calls `observe()`.
 * Only Redis can be observed.
 */
import type {
  AuditOutboxes,
  Holder,
  LogEntry,
  LogId,
  SessionRecord,
  SessionRecords,
} from './backplane.js';

/**
 * An observer holds no lease and subscribes to nothing, and only `remove` writes. Every call may reject with
 * `backplane_unavailable`, within its time limit.
 */
export interface Observation extends SessionRecords {
  /** Returns how many sessions are listed. Some of them may have ended. */
  listed(): Promise<number>;
  /** Returns the time of the backplane's clock, which also makes log ids, in milliseconds since the epoch. */
  now(): Promise<number>;
  /**
   * Looks for leases of nodes among some of all keys, beginning at `from` (left out: at the first key). `next` is the `from` of
   * the next call. Without `next`, the last key was reached. The calls of one round together find each node that held its lease
   * all the time.
   */
  sweep(from?: string): Promise<{ nodeIds: string[]; next?: string }>;
  /** Returns the leases of these nodes. A node without a lease is left out. */
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
  /** Asks each server of Redis how it is. */
  servers(): Promise<RedisInfo[]>;
  /** The outboxes of the audit trail. */
  readonly audit: AuditOutboxes;
  /** Closes the connections. */
  close(): void;
}

/** Facts about a Redis server. A field after the first two is missing if the server does not report it. */
export interface RedisInfo {
  /** The host and port. */
  name: string;
  /** The time that a command takes, there and back, in milliseconds. */
  roundTripMs: number;
  version?: string;
  usedBytes?: number;
  /** The most memory that the server may use, in bytes. With `0` it has no bound. */
  maxBytes?: number;
  /** A sentence that says which setting of the server endangers sessions. */
  warning?: string;
}

export interface Lease {
  nodeId: string;
  leftMs: number;
  /** What the node says about itself. It is empty for nodes of releases that say nothing. */
  about: NodeAbout;
}

export interface NodeAbout {
  /** When the node joined, in milliseconds since the epoch by its own clock. */
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
  /** How many bytes were logged since the session began. Each entry counts 100 and the bytes of its message. */
  loggedBytes: number;
}

export interface StreamState {
  name: string;
  /** The number and the place of the stream's last message. The number is 0 if there is none. */
  last: { n: number; logId: LogId };
  /** The connection that holds the stream, if there is one. */
  holder?: Holder;
  /** The node that runs its requests. Missing for the standalone stream. */
  executor?: string;
  begun: boolean;
}

/** How long a session has left, and how large its log is. */
export interface Lifetime {
  leftMs: number;
  events: number;
  /** The bytes of the log that is kept. Each entry counts 100 and the bytes of its message. */
  bytes: number;
  oldest?: LogId;
  newest?: LogId;
}
