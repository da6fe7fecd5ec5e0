/**
 * Where sessions live, and how nodes talk: the one interface that memory and Redis implement.
 *
 * Everything that has to be atomic is one call here, because it is one script there. No call awaits a client, a
 * handler or another node. Messages are JSON texts and are never looked into.
 */
import type { Clock } from '../protocol/clock.js';
import type { SeamStore } from './seams.js';

/** The stream of the GET connection: exists as long as its session does. All others belong to one POST. */
export const STANDALONE = 'g';

/** A place in a session's log: `<milliseconds>-<counter>`, growing. */
export type LogId = string;

/** In the order of the log: negative where `a` comes before `b`. */
export function compareLogIds(a: LogId, b: LogId): number {
  const [aMs = 0, aCounter = 0] = a.split('-').map(Number);
  const [bMs = 0, bCounter = 0] = b.split('-').map(Number);
  return aMs - bMs || aCounter - bCounter;
}

const LAST_COUNTER = '18446744073709551615';

/** A place in the log between an entry and the one before it: what comes after it begins with that entry. */
export function justBefore(logId: LogId): LogId {
  const [ms = 0, counter = 0] = logId.split('-').map(Number);
  return counter > 0 ? `${ms}-${counter - 1}` : `${ms - 1}-${LAST_COUNTER}`;
}

/** Before the first entry of any log. */
export const LOG_START: LogId = '0-0';

/** How far a follower is in one stream: the number of the last message (0: none yet) and its place in the log. */
export interface Position {
  n: number;
  logId: LogId;
}

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
  /** Ends a session everywhere. `false`: there is none that `principal` may end. */
  remove(sessionId: string, principal: string | typeof ANY_PRINCIPAL): Promise<boolean>;

  load(sessionId: string): Promise<SessionRecord | undefined>;
  /** The streams of POSTs that are open, each with the node whose connection holds it. */
  openStreams(sessionId: string): Promise<{ stream: string; holder: string | undefined }[]>;
  /** Ids of sessions, in the order of their characters; may name some that are gone. */
  list(after: string | undefined, count: number): Promise<{ ids: string[]; next?: string }>;
  /** The whole log, both directions, after `after`. */
  history(sessionId: string, after: LogId, count: number): Promise<LogEntry[]>;
  /** The application's own state of a session. `undefined`: no such session. */
  loadState(sessionId: string): Promise<{ version: number; value: string | undefined } | undefined>;
  /** Stores it when its version still is `expected` (or in any case). `conflict` and `gone` change nothing. */
  storeState(
    sessionId: string,
    value: string,
    expected: number | undefined,
  ): Promise<'stored' | 'conflict' | 'gone'>;

  /** Sends to one node, at most once, without waiting for anything. */
  send(nodeId: string, message: NodeMessage): Promise<void>;
  /** Which of these nodes hold a lease. */
  alive(nodeIds: string[]): Promise<Set<string>>;
  /** Gives the lease up and closes the connections. Calls made later reject. */
  leave(): Promise<void>;
  /** What `seams` need. Left out: this backplane has no room for them, and they say so when they are used. */
  readonly seams?: SeamStore | undefined;
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

export interface SessionRecord {
  id: string;
  /** Grows with every change of what shapes a replica: `active`, `logLevel`, `subscriptions`. */
  revision: number;
  /** The params of the client's `initialize`, as JSON. */
  initialize: string;
  /** `initialize` could not be decoded, and is empty: no replica can be built from this record. */
  unreadable?: true;
  /** As negotiated; `''`: the client has not been answered an `initialize` yet. */
  protocolVersion: string;
  /** The client's identity in the backplane's own form; see `Options.principal`. */
  principal: string;
  createdAt: number;
  lastSeenAt: number;
  /** The client has sent `notifications/initialized`. */
  active: boolean;
  logLevel: string | undefined;
  subscriptions: string[];
  /** The one node that may run its requests; `undefined`: any may, or nobody owns it at the moment. */
  owner: string | undefined;
}

export interface NewSession {
  id: string;
  initialize: string;
  protocolVersion: string;
  principal: string;
  /** Which `notify` broadcasts concern the session: `T`ools, `P`rompts, `R`esources, as letters in one word. */
  hears: string;
  /** This node owns the session from the start. */
  owned?: boolean;
  createdAt: number;
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

export interface Commit {
  sessionId: string;
  /** See {@link Membership.commit}. */
  number: number;
  operations: Operation[];
}

/** Who may act: the session's own principal. A session of another one answers `denied`. */
export type Operation =
  | OpenOperation
  | ReceiveOperation
  | AppendOperation
  | DetachOperation
  | HangUpOperation
  | ClaimOperation
  | AssignOperation
  /** Gives up the requests of a stream that this node executes: whoever follows it may claim them, at once. */
  | { type: 'release'; stream: string }
  | { type: 'abandon'; stream: string; requests: string[] }
  | NoteOperation
  /** This node has no replica any more, and does not own the session any more. */
  | { type: 'forget' };

/**
 * A POST with requests: stores what came in and opens its stream, held and executed by this node. With `owned` the
 * session's owner is to execute it, and that is this node where nobody owns the session: see {@link AssignOperation}.
 */
export interface OpenOperation {
  type: 'open';
  principal: string;
  stream: string;
  /** Names the connection among those of this node. */
  token: string;
  /** The JSON texts of the ids of its requests. */
  requests: string[];
  messages: string[];
  /** The revision of this node's replica; `undefined`: it has none yet, and will now have one. */
  revision: number | undefined;
  owned?: boolean;
  /** How many requests of the session may run at a time, with these; left out: as many as there are. */
  most?: number;
}

/** One message from the client that opens nothing. */
export interface ReceiveOperation {
  type: 'receive';
  principal: string;
  message: string;
  route: Route;
  revision: number | undefined;
}

/**
 * Where a message from the client belongs.
 * - `node`: to a node by its id (answers and progress for a server's request);
 * - `executor`: to the node that runs a request (cancellation);
 * - `replicas`: to every live replica;
 * - `initialized`: marks the session active; to one live replica (this node's before another's), the others are told
 *    of the new revision; to this node where none is alive;
 * - `here`: to this node's replica, which is built where there is none;
 * - `owner`: to the replica of the session's owner, which is this node where nobody owns it. (Nobody is told: the caller
 *    sends the message on.) `initialized` with `owned` is for the owner, too;
 * - `nobody`: it is stored, and that is all (an answer to a question that none of us asked).
 */
export type Route =
  | { to: 'node'; nodeId: string }
  | { to: 'executor'; request: string }
  | { to: 'replicas' }
  | { to: 'initialized'; owned?: boolean }
  | { to: 'here' }
  | { to: 'owner' }
  | { to: 'nobody' };

/**
 * Makes this node the executor of a stream in place of `from`, whom the caller knows to be dead. Only one of several can:
 * `from` has to be the executor still. From then on nothing is accepted that `from` says on the stream.
 */
export interface ClaimOperation {
  type: 'claim';
  stream: string;
  from: string;
  /** The revision of this node's replica; `undefined`: it has none yet, and may have one now. */
  revision: number | undefined;
  /** The session's owner is to execute it; that is this node, where `from` or nobody owned the session. */
  owned?: boolean;
}

/**
 * Says who is to execute the requests of a stream that nobody has begun: the session's owner. That is this node where
 * nobody owns the session, or `dead` does, whom the caller knows to be dead.
 *
 * A stream that was opened on another node than the owner's waits, as begun by nobody, until the owner has assigned it
 * to itself. So it is known of each request whether it was begun: none is run twice, and none is taken for lost that
 * was only on its way.
 */
export interface AssignOperation {
  type: 'assign';
  /** `undefined`: none, it is about the session. */
  stream: string | undefined;
  dead: string | undefined;
  /** As in {@link ClaimOperation}. */
  revision: number | undefined;
}

/** The executor of a stream whose own node has released it. No node is called so. */
export const RELEASED = '-';

/** One message to the client. */
export interface AppendOperation {
  type: 'append';
  stream: string;
  /** `undefined`: nothing to show, the request ends without an answer. */
  message: string | undefined;
  /** The request that ends with this. When it was the stream's last, the stream ends. */
  ends?: string;
  /** It is a request of this node: not shown any more once this node is gone. */
  asks?: boolean;
  /** What the session remembers from now on, in the same step. */
  effect?: { type: 'level' | 'subscribe' | 'unsubscribe' | 'initialize'; value: string };
  /**
   * Append only to a session that `hears` this letter, or has subscribed to this URI; only while this node owns the
   * session; to a stream that nobody has begun to execute, whoever is to; or where the operation before this one, an
   * `open` or `append` of the same step, was carried out.
   */
  onlyIf?:
    | { hears: 'T' | 'P' | 'R' }
    | { subscribed: string }
    | { owned: true }
    | { unbegun: true }
    | { after: true };
  /** Skip it where a message of this key still waits, unshown, for a client with no connection. */
  coalesce?: string;
}

/** The connection is closed; it had written up to `position`. Leaves a successor's claim alone. */
export interface DetachOperation {
  type: 'detach';
  stream: string;
  token: string;
  position: Position;
  /** There never was a connection: its claim was not answered in time. The one that it took the stream from has it again. */
  neverUsed?: boolean;
}

/** Logs what has happened to a request, beside what was said of it. */
export interface NoteOperation {
  type: 'note';
  kind: 'request.recovered' | 'request.failed';
  stream: string;
  /** The JSON text of its id. */
  request: string;
  /** The node that had run it; `undefined`: nobody knows. */
  from: string | undefined;
  /** Only where the operation before it in the commit has come to `appended`. */
  ifAppended?: boolean;
}

/** Ends the connection that holds a stream, wherever it is. */
export interface HangUpOperation {
  type: 'hangup';
  stream: string;
}

export type CommitReply =
  | { status: 'gone' }
  | {
      status: 'ok';
      revision: number;
      /** Where an operation gave a revision that is not the current one: the record as it is now. */
      record?: SessionRecord;
      /** With `record`: the node that holds the standalone stream, if one does. */
      followedBy?: string;
      results: OperationResult[];
    };

export type OperationResult =
  /** `open`: where the request stands in the log. `owner`: another node, which is to be told. */
  | { status: 'opened'; position: Position; owner?: string }
  /**
   * `receive`, `hangup`: whether this node is (among) those concerned. `token`: of the connection to hang up.
   * `handler`: of `initialized` and `owner`, the other node that is to handle it. `changed`: it made the present revision.
   * `unbegun`: the stream of the request that it is about, which nobody has begun; `handler` is to. `logged`, with a
   * `handler` that is not told: it is too big to be sent along, and this is where it stands in the log.
   */
  | {
      status: 'received';
      here: boolean;
      token?: string;
      handler?: string;
      changed?: boolean;
      unbegun?: string;
      logged?: LogId;
    }
  /** `append`. `token`: this node's connection that holds the stream. `ended`: the stream has ended with it. */
  | { status: 'appended'; position: Position; token?: string; ended: boolean }
  /** `append`: a repeat. It stands in the log, where exactly is not known any more. */
  | { status: 'repeated' }
  /**
   * `append`, `claim`: the request has ended already, or runs elsewhere now. `assign`: the stream has ended. `executor`, of
   * a `claim`: who runs it, or (`unbegun`) is to; none: it has ended. Also of an `append` to what nobody has begun: who has.
   */
  | { status: 'dropped'; executor?: string; unbegun?: boolean }
  /** `append`: `onlyIf` or `coalesce` said no. `note`: `ifAppended` did. */
  | { status: 'skipped' }
  /** `open`: one of its request ids is in use by a request that `executor` runs on `stream`. */
  | { status: 'duplicate'; stream: string; executor: string }
  /** `open`: too many requests of the session run already, on these streams. */
  | { status: 'limited'; running: { stream: string; executor: string }[] }
  /** `claim`: the JSON texts of the ids of the requests that had not ended. `owner`: another node, which is to be told. */
  | { status: 'claimed'; requests: string[]; owner?: string }
  /**
   * `assign`: who is to execute the stream (without a stream: who owns the session), and whether that node has begun.
   * `requests`: it is this node, as of now; the JSON texts of the ids of what it has to run. `again`: another node had
   * begun them, and is dead.
   */
  | { status: 'assigned'; executor: string; begun: boolean; requests?: string[]; again?: boolean }
  | { status: 'denied' }
  | { status: 'done' };

export interface AttachRequest {
  sessionId: string;
  principal: string;
  stream: string;
  token: string;
  /** Where the client says it is. `undefined` (standalone stream only): after what was written before. */
  cursor: Position | undefined;
  /** Refuse with `conflict` while this other connection holds the stream; `undefined`: take it over. */
  unlessHeld: boolean;
  /** With `unlessHeld`: a holder known to be dead, which does not count. */
  deadHolder?: string;
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
  /** Names the connection that reads; one that has lost the stream to another gets `lost`. */
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

/** One message on one stream, as shown to the client. */
export interface StreamEvent {
  position: Position;
  /** `undefined`: only marks the end, or is too big to be sent along: read the log. */
  message: string | undefined;
  /** The stream ends with it. */
  end: boolean;
  /** The node that waits for the client's answer to this request. */
  asker?: string;
}

export interface TouchRequest {
  sessionId: string;
  streams: { stream: string; token: string; position: Position }[];
  /** Streams whose requests this node runs. Default: none. */
  runs?: string[];
}

export type TouchReply =
  | { status: 'gone' }
  /** Per stream: the number of its last message, and whether the connection still holds it, or the stream has ended. */
  | {
      status: 'ok';
      streams: { last: number; held: boolean; ended: boolean }[];
      /** Per stream of `runs`: whether this node still is its executor. */
      runs: boolean[];
    };

export interface LogEntry {
  logId: LogId;
  at: number;
  direction: 'in' | 'out';
  stream: string | undefined;
  message: string | undefined;
  /** The node that asked the client with it. */
  asker: string | undefined;
  /** There is a message, and it could not be decoded. */
  unreadable?: true;
  /** This is no message, but something that has happened to the session; `direction` says nothing then. */
  note?: Note;
}

/** What has happened to a session, beside what was said in it. */
export interface Note {
  kind:
    | 'session.created'
    | 'session.initialized'
    | 'stream.resumed'
    | 'request.recovered'
    | 'request.failed';
  /** The node that it happened on. */
  nodeId: string;
  /** `request.…`: the JSON text of the request's id. */
  request?: string;
  /** `request.…`: the node that had run it. */
  from?: string;
  /** `stream.resumed`: how many more there were since the last one that was logged; left out: none. */
  skipped?: number;
}

/**
 * Clients that come back all the time must not push out of the log what they come back for: of a session's
 * `stream.resumed`, one is logged in so long.
 */
export const RESUMED_EVERY_MS = 10_000;

/** What nodes tell each other. At most once, unordered between senders; whoever gets one must bear to miss it. */
export type NodeMessage =
  /** An event of a stream that a connection of the addressee holds. */
  | {
      type: 'event';
      sessionId: string;
      stream: string;
      token: string;
      event: StreamEvent;
      inline: boolean;
    }
  /** A message of the client for the addressee's replica. */
  | { type: 'deliver'; sessionId: string; message: string; context?: string }
  /** The same, of one that is too big to be sent along: it stands in the log. */
  | { type: 'logged'; sessionId: string; logId: LogId; context?: string }
  /**
   * Requests of a session that the addressee owns: to be assigned to itself, and run. `context`: what came with them, as
   * JSON; it is stored nowhere. `messages`: left out where they are big, or were not at hand: they are in the log.
   * Is answered with `placed`.
   */
  | {
      type: 'run';
      sessionId: string;
      stream: string;
      replyTo: string;
      context: string;
      messages: string[] | undefined;
      /** `context` or `messages` could not be decoded, and are empty. */
      unreadable?: true;
    }
  /** Who executes a stream, or is to; `undefined`: it has ended. */
  | {
      type: 'placed';
      sessionId: string;
      stream: string;
      executor: string | undefined;
      begun: boolean;
    }
  /** The addressee was taken for dead, and does not own the session any more. */
  | { type: 'disowned'; sessionId: string }
  /** The session's shape has changed. `message`: what did it, for the replica that is to handle it. */
  | { type: 'shape'; sessionId: string; revision: number; message: string | undefined }
  /** The session has ended. */
  | { type: 'gone'; sessionId: string }
  /** Another connection took the stream over: end yours, and answer `released` where `replyTo` says. */
  | {
      type: 'release';
      sessionId: string;
      stream: string;
      token: string;
      replyTo: string;
      ref: string;
    }
  | { type: 'released'; ref: string; position: Position | undefined }
  /**
   * A connection of another node has claimed the stream of this one. `release` follows, or the claim is undone; neither
   * does where that node has died. See to it that this connection is not left open for nothing.
   */
  | { type: 'taken'; sessionId: string; stream: string; token: string }
  /** End this connection so that the client comes back. */
  | { type: 'hangup'; sessionId: string; stream: string; token: string }
  /** A follower elsewhere waits for the end of a stream that the addressee executes: see to it that it comes. */
  | { type: 'check'; sessionId: string; stream: string }
  /** The executor of a stream has released it: claim its requests. */
  | { type: 'orphaned'; sessionId: string; stream: string; token: string }
  /** The client's standalone stream is held by `by` now (`undefined`: by nobody). */
  | { type: 'followed'; sessionId: string; by: string | undefined };
