/**
 * Where sessions live, and how nodes talk: the one interface that memory and Redis implement.
 *
 * Everything that has to be atomic is one call here, because it is one script there. No call awaits a client, a
 * handler or another node. Messages are JSON texts and are never looked into.
 */
import type { Clock } from '../protocol/clock.js';
import type { LogEntry, StreamEvent } from './session-log.js';
import type { NodeMessage } from './node-messages.js';
import type { Operation, OperationResult } from './operations.js';
import type { LogId, Position } from './positions.js';
import type { Revision } from './revision.js';
import type { SdkStoreAccess } from './sdk-store-access.js';

export * from './session-log.js';
export * from './node-messages.js';
export * from './operations.js';
export * from './positions.js';
export type { Revision } from './revision.js';

export interface Backplane {
  /**
   * Opens the membership of one node. Returns at once: connections are made, and made again, in the background.
   * Nothing is thrown here for a server that cannot be reached; calls then reject with `backplane_unavailable`.
   */
  join(options: JoinOptions): Membership;
}

export interface JoinOptions {
  nodeId: string;
  clock: Clock;
  /** The lease is renewed at a third of this and runs out after it. */
  leaseMs: number;
  /** No call takes longer before it rejects. */
  commandTimeoutMs: number;
  /** How long a session lives without being used; `pendingTtlMs` until its client has sent `initialized`. */
  sessionTtlMs: number;
  pendingTtlMs: number;
  /** `maxBytes`: of the log's messages, and 100 for each; left out: as many as there are. */
  retention: { maxEvents: number; maxAgeMs: number; maxBytes?: number };
  /**
   * A message for this node. Those of one sender come in their order as far as they concern one session or went
   * through `send`: in a cluster others may overtake each other. Must not throw and is not awaited.
   */
  onMessage(message: NodeMessage): void;
  /** This node was silent for longer than its lease (paused, or cut off): what it held may be others' now. */
  onLapse(): void;
  /** Messages may have been lost (the connection was, or was found deaf): what follows a log has to look again. */
  onLost(): void;
  logger: { warn(message: string): void };
}

/** One node's view of the backplane. Every call may reject with `backplane_unavailable`, within `commandTimeoutMs`. */
export interface Membership {
  /** Resolves when the backplane was reached and the node's lease is held; rejects only after `leave`. */
  ready(): Promise<void>;
  /** `undefined` while all is well, else what is wrong. Costs nothing. */
  trouble(): string | undefined;
  /** What the log calls the backplane, such as `Redis at 10.0.0.1:6379`: without credentials. */
  readonly place?: string | undefined;

  /**
   * Stores a session with the first entries of its log. `false`: the id is taken, nothing was changed. Rejects with
   * {@link TooManySessions} where its principal has `most` already; nobody has learned of the session then.
   */
  create(session: NewSession): Promise<Position[] | false>;
  /**
   * Does all of `operations` in one atomic step, in order. Repeating a commit (same session, same `number`) changes
   * nothing and says so per operation. Numbers of one node grow per session; a lower one than the last is a repeat.
   */
  commit(commit: Commit): Promise<CommitReply>;
  /** Makes a connection the holder of a stream, checks its cursor, and tells another node's that held it, in one step. */
  attach(request: AttachRequest): Promise<AttachReply>;
  /** Reads a stream on from `after`. */
  read(request: ReadRequest): Promise<Page>;
  /** Keeps sessions alive and reports positions, many in one go; answers in the order of the requests. */
  touch(requests: TouchRequest[]): Promise<TouchReply[]>;
  /**
   * Says where streams end, many sessions in one go, and changes nothing; answers in the order of the requests. Only a
   * backplane that may lose a wake-up without losing the connection has this function: see `PositionCheck`.
   */
  readonly ends?: ((requests: EndsRequest[]) => Promise<EndsReply[]>) | undefined;
  /** Ends a session everywhere. `false`: there is none that `principal` may end. */
  remove(sessionId: string, principal: string | typeof ANY_PRINCIPAL): Promise<boolean>;

  load(sessionId: string): Promise<SessionRecord | undefined>;
  /** Says whose session it is. Costs the same for every session, however large its record is: `load` reads all of it. */
  identify(sessionId: string): Promise<SessionIdentity | undefined>;
  /** The streams of POSTs that are open. */
  openStreams(sessionId: string): Promise<OpenStream[]>;
  /** Ids of sessions, in the order of their characters; may name some that are gone. */
  list(after: string | undefined, count: number): Promise<{ ids: string[]; next?: string }>;
  /**
   * A page of the log, both directions, after `after`: at least one entry, where there is one, and `count` at most. It may end
   * sooner, where its messages are large: the log ends with an empty page only.
   */
  history(sessionId: string, after: LogId, count: number): Promise<LogEntry[]>;
  /**
   * The message of the client that stands there, for this node to handle. `wasAddressed`: another node has told just this
   * one so. `undefined`: it is no longer kept, or not this node's. Left out: whatever the history has there is.
   */
  received?(sessionId: string, logId: LogId, wasAddressed: boolean): Promise<string | undefined>;
  /** The application's own state of a session. `undefined`: no such session. */
  loadState(sessionId: string): Promise<StoredState | undefined>;
  /**
   * Stores it when its version still is `expected` (or in any case). `conflict` and `gone` change nothing. `mark`: ends the
   * new version, behind this node's id and a colon; no two stores of a node have the same one. Left out: one is chosen.
   */
  storeState(
    sessionId: string,
    value: string,
    expected: string | undefined,
    mark?: string,
  ): Promise<'stored' | 'conflict' | 'gone'>;

  /** Sends to one node, at most once, without waiting for anything. */
  send(nodeId: string, message: NodeMessage): Promise<void>;
  /** Which of these nodes hold a lease. Rejects where leases cannot be renewed at present, since writes are refused. */
  alive(nodeIds: string[]): Promise<Set<string>>;
  /**
   * Since when this node has held its own lease without interruption, by `clock.elapsed()`; `undefined` while it may not
   * hold it. After it had lost its lease this is half a `leaseMs` later, so that all other nodes have theirs again, too.
   */
  steadySince(): number | undefined;
  /** What the clock says, in milliseconds, that the steps of the session or task of this id go by. It need not exist. */
  timeOf(id: string): Promise<number>;
  /** Gives the lease up and closes the connections. Calls made later reject. */
  leave(): Promise<void>;
  /** Where the stores of the SDK are kept. Left out: this backplane has no room for them, and each store throws when it is used. */
  readonly sdkStores?: SdkStoreAccess | undefined;
}

/** Instead of a principal: for the operator's own calls, which no principal limits. */
export const ANY_PRINCIPAL = Symbol('any principal');

/** The principal has as many sessions as it may, or as many that it never used. */
export class TooManySessions extends Error {
  override readonly name = 'TooManySessions';
  constructor(readonly kind: 'sessions' | 'pending') {
    super(`Too many sessions of one principal (${kind})`);
  }
}

export interface StoredState {
  /** Names the store that made it; `''`: nothing was stored yet. No two stores of a session make the same one. */
  version: string;
  value: string | undefined;
}

export type SessionIdentity = Pick<SessionRecord, 'principal' | 'owner' | 'seal'>;

export interface SessionRecord {
  id: string;
  /** Another one with every change of what shapes a replica: `active`, `logLevel`, `subscriptions`. */
  revision: Revision;
  /** The params of the client's `initialize`, as JSON. */
  initialize: string;
  /** `initialize` could not be decoded, and is empty: no replica can be built from this record. */
  unreadable?: true;
  /** As negotiated; `''`: the client has not been answered an `initialize` yet. */
  protocolVersion: string;
  /** The client's identity in the backplane's own form; see `Options.principal`. */
  principal: string;
  /** Proves that a node with the codec stored `principal`. Missing: the node that created the session had no codec. */
  seal?: string;
  createdAt: number;
  lastSeenAt: number;
  /** The client has sent `notifications/initialized`. */
  active: boolean;
  logLevel: string | undefined;
  subscriptions: string[];
  /** By URI: proves that a node with the codec stored the subscription. Without a codec there are none. */
  subscriptionSeals?: ReadonlyMap<string, string>;
  /** The one node that may run its requests; `undefined`: any may, or nobody owns it at the moment. */
  owner: string | undefined;
}

export interface NewSession {
  id: string;
  initialize: string;
  protocolVersion: string;
  principal: string;
  /** As in {@link SessionRecord}. */
  seal?: string;
  /** Which `notify` broadcasts concern the session: `T`ools, `P`rompts, `R`esources, as letters in one word. */
  hears: string;
  /** This node owns the session from the start. */
  owned?: boolean;
  /**
   * How many sessions the principal may have, and how many of them that have sent neither `initialized` nor a request
   * since they were created, at most `pendingTtlMs` ago. Left out: as many as it likes, and this one does not count.
   */
  most?: { sessions: number; pending: number } | undefined;
  /** The client's `initialize` request, whose stream is `stream`; left out: it is to come, and nothing is logged. */
  inbound?: string;
  stream: string;
  /** What the server sent until and with its answer; the last one is the answer and ends the stream. */
  outbound: { stream: string; message: string; asks: boolean }[];
}

/** A stream of a POST whose requests have not all been answered. */
export interface OpenStream {
  stream: string;
  /** The node whose connection holds it. */
  holder: string | undefined;
  /** The node that has begun its requests, and has not left them. */
  runsOn: string | undefined;
}

export interface Commit {
  sessionId: string;
  /** See {@link Membership.commit}. */
  number: number;
  operations: Operation[];
  /**
   * What this commit adds to the log gets ids after this one, even where the backplane's clock is behind it: the clock of a
   * new master may be, after a failover. Left out: by that clock alone.
   */
  after?: LogId | undefined;
}

export type CommitReply =
  | { status: 'gone' }
  | {
      status: 'ok';
      revision: Revision;
      /** Where an operation gave a revision that is not the current one: the record as it is now. */
      record?: SessionRecord;
      /** With `record`: the node that holds the standalone stream, if one does. */
      followedBy?: string;
      results: OperationResult[];
    };

export interface AttachRequest {
  sessionId: string;
  principal: string;
  stream: string;
  token: string;
  /** Where the client says it is. `undefined` (standalone stream only): after what was written before. */
  cursor: Position | undefined;
  /** Refuse with `conflict` while this other connection holds the stream; `undefined`: take it over. */
  unlessHeld: boolean;
  /** With `unlessHeld`: a holder known to be dead, which does not count; and when it was, as in `ClaimOperation`. */
  deadHolder?: string;
  lookedAt?: number;
}

export type AttachReply =
  | { status: 'gone' }
  | { status: 'conflict'; holder: string }
  /** The stream is not known here: never was, or is no longer kept. */
  | { status: 'unknown' }
  /** Messages after the cursor are no longer kept. */
  | { status: 'trimmed' }
  /** The stream has ended, and the cursor is behind its last message: there is nothing to show, nor will there be. */
  | { status: 'ended' }
  | {
      status: 'attached';
      /** Where to go on from. */
      position: Position;
      protocolVersion: string;
      /** The connection that held it before. */
      previous?: { nodeId: string; token: string };
      /** The node that runs the requests of the stream; none for the standalone stream, or one that has ended. */
      executor?: string;
      /** It is to run them, and has not begun. */
      unbegun?: boolean;
    };

export interface ReadRequest {
  sessionId: string;
  stream: string;
  after: Position;
  /** Names the connection that reads; one that does not hold the stream, though it is open, gets `lost`. */
  token?: string;
  /** A page ends at the first message that takes it over this. */
  maxBytes: number;
}

export type Page =
  | { status: 'gone' }
  | { status: 'lost' }
  | { status: 'trimmed' }
  /** The next message could not be decoded, and nothing may be shown in its place. */
  | { status: 'unreadable' }
  | {
      status: 'ok';
      events: StreamEvent[];
      /** Where to read on; `more`: there may be more already. */
      scanned: LogId;
      more: boolean;
      /** The stream can still grow. */
      open: boolean;
      /** The log is shorter than the reader's position (it lost its end in a failover): count on from here. */
      restart?: number;
    };

export interface TouchRequest {
  sessionId: string;
  streams: { stream: string; token: string; position: Position }[];
  /** Streams whose requests this node runs. Default: none. */
  runs?: string[];
}

export interface EndsRequest {
  sessionId: string;
  streams: string[];
}

/**
 * Per stream: the number of its last message (0: none yet), or `undefined` if the backplane has no such open stream. The
 * whole reply is `undefined` if the backplane could not say it now.
 */
export type EndsReply = (number | undefined)[] | undefined;

export type TouchReply =
  | { status: 'gone' }
  /** Per stream: the number of its last message, and whether the connection still holds it, or the stream has ended. */
  | {
      status: 'ok';
      streams: { last: number; held: boolean; ended: boolean }[];
      /** Per stream of `runs`: whether this node still is its executor. */
      runs: boolean[];
    };
