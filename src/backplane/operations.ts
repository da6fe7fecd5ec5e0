/** The operations of a commit, and their results. `docs/backplane.md` says what each has to do. */
import type { LogId, Position } from './positions.js';
import type { Revision } from './revision.js';

export type Operation =
  | OpenOperation
  | ReceiveOperation
  | AppendOperation
  | DetachOperation
  | HangUpOperation
  | ClaimOperation
  | AssignOperation
  | ReleaseOperation
  | AbandonOperation
  | NoteOperation
  | ForgetOperation;

/**
 * A POST with requests: logs its messages and opens its stream. This node's connection holds the stream. This node executes
 * it, or, with `owned`, the session's owner is to (see {@link AssignOperation}); a session without an owner gets this node as
 * its owner. The session counts as used.
 *
 * Results: `opened`, `denied`, `duplicate`, `limited`. The last three change nothing.
 */
export interface OpenOperation {
  type: 'open';
  /** Who sends it. The session of another principal answers `denied`. */
  principal: string;
  stream: string;
  /** Names the connection among those of this node. */
  token: string;
  /** The JSON texts of the ids of its requests. */
  requests: string[];
  messages: string[];
  /** The trace of its requests. It is logged with them, and kept with the stream. Left out: there is none. */
  trace?: string;
  /**
   * The revision of this node's replica, or `undefined` if this node has none yet. If that is not the current revision, the
   * reply brings the record. This node counts as one with a replica from now on, but not with `UNKNOWN_REVISION`.
   * Neither happens if the result names another node as the `owner`: this one needs no replica then.
   */
  revision: Revision | undefined;
  /** True with `affinity: 'owner'`. Default: this node executes the requests. */
  owned?: boolean;
  /** How many requests of the session may run at a time, these included. Left out: there is no limit. */
  most?: number;
}

/**
 * One message of the client that opens no stream: logs it, and sends it where `route` says. The session counts as used.
 *
 * Results: `received`, `denied`.
 */
export interface ReceiveOperation {
  type: 'receive';
  /** As in {@link OpenOperation}. */
  principal: string;
  message: string;
  route: Route;
  /** As in {@link OpenOperation}, but only with `initialized`, `here` and `owner`, and if the message is for this node. */
  revision: Revision | undefined;
}

/**
 * Where a message of the client belongs.
 * - `node`: to a node, by its id: answers and progress for a request of the server.
 * - `executor`: to the node that runs a request: a cancellation. If the request is not begun, no node is told.
 * - `replicas`: to every node with a replica.
 * - `initialized`: to one node with a replica, this one before another one, or to this node if there is none. The
 *   message makes the session active, which gives the record another revision; all other replicas are told of it. With
 *   `owned` it is for the owner.
 * - `here`: to this node.
 * - `owner`: to the owner of the session, which becomes this node if there is none. No node is told: the caller sends the
 *   message on.
 * - `nobody`: it is logged and nothing else: an answer to a question that no node has asked.
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
 * Makes this node the executor of a stream in place of `from`, which the caller knows to be dead. Only one of several nodes
 * can: `from` has to be the executor still. From then on nothing is accepted that `from` says on the stream.
 *
 * A step may be carried out long after it was decided, for instance because Redis refused writes meanwhile. So the operation
 * says when `from` was found dead. If that is more than {@link LOOK_HOLDS_MS} ago, nothing is changed.
 *
 * Results: `claimed`, `stale`, `dropped`.
 */
export interface ClaimOperation {
  type: 'claim';
  stream: string;
  /** The executor as the caller knows it: a node, {@link RELEASED}, or that with a node's id behind it. */
  from: string;
  /** When `from` was dead, by the clock of `timeOf`. Left out: `from` has released the stream, or is this node. */
  lookedAt?: number;
  /** As in {@link OpenOperation}. */
  revision: Revision | undefined;
  /** True: the session's owner is to execute it. If `from` or no node owned the session, this node becomes the owner. */
  owned?: boolean;
}

/**
 * Says who is to execute the requests of a stream that is not begun: the session's owner. That is this node if no node owns
 * the session, or if `dead` does, which the caller knows to be dead.
 *
 * A stream that was opened on another node than the owner's is not begun until the owner has assigned it to itself. So
 * it is known of each request whether it was begun: none is run twice, and none counts as lost that was only on its way.
 *
 * Results: `assigned`, `stale`, `dropped`.
 */
export interface AssignOperation {
  type: 'assign';
  /** `undefined`: the operation is about the session alone. */
  stream: string | undefined;
  dead: string | undefined;
  /** With `dead`, as in {@link ClaimOperation}: the step is `stale` only if it would take the session from that node. */
  lookedAt?: number;
  /** As in {@link OpenOperation}, but only if this node has to run the stream, or owns the session. */
  revision: Revision | undefined;
}

/** How long a node counts as dead after a look that found it dead, in milliseconds: until then a step may build on it. */
export const LOOK_HOLDS_MS = 1500;

/** Stands in the place of the executor of a stream whose executor has closed. No node has this id. */
export const RELEASED = '-';

/** The coalescing key of messages about one resource. The session forgets it when the subscription ends. */
export function coalescedByUri(uri: string): string {
  return `sub:${uri}`;
}

/**
 * True if no node executes a stream any more, so that its requests may be claimed at once. Its executor has closed (
 * {@link RELEASED}), or has lost the session to another owner (`-` with the executor's id behind it).
 */
export function isReleased(executor: string): boolean {
  return executor.startsWith(RELEASED);
}

/** Returns the node that executed a stream, or `undefined` if it has closed and is not named any more. */
export function formerExecutor(executor: string): string | undefined {
  return isReleased(executor) ? executor.slice(RELEASED.length) || undefined : executor;
}

/**
 * One message of the server to the client: logs it, gives it the next number of its stream, and wakes the holder of the
 * stream (`event`) if that is on another node. On the stream of a POST only its executor may append. A node that is to begin
 * the stream begins it with that.
 *
 * Results: `appended`, `dropped`, `skipped`, `repeated`. All but the first change nothing.
 */
export interface AppendOperation {
  type: 'append';
  stream: string;
  /** `undefined`: there is nothing to show, and the request ends without an answer. */
  message: string | undefined;
  /** The JSON text of the id of the request that ends with this. With the stream's last request the stream ends. */
  ends?: string;
  /** True if it is a request of this node's server. It is not shown any more once this node is gone. */
  asks?: boolean;
  /** With `ends`, and without `asks`: true if the request ends with an error. The session counts its errors. */
  failed?: boolean;
  /** What the session remembers from now on, in the same step. */
  effect?: Effect;
  /** If this does not hold, the operation is `skipped` (or `dropped`, if a stream must not be begun and is). */
  onlyIf?: Condition;
  /**
   * Skip the message if an earlier one with this key still waits for a client without a connection: no connection holds the
   * stream, none has written that message, and the log still has it. The key of a resource that the session has
   * subscribed to is {@link coalescedByUri}; it is forgotten when the subscription ends.
   */
  coalesce?: string;
}

export type Condition =
  /** The server has announced changes of this list. */
  | { hears: ListKind }
  /** The client has subscribed to this URI. */
  | { subscribed: string }
  /** This node owns the session. */
  | { owned: true }
  /** This node executes this other stream. If it is to begin that stream, it begins it with this. */
  | { executes: string }
  /** The stream is not begun, whichever node is to begin it. */
  | { unbegun: true }
  /** The operation before this one in the same commit came to `opened` or `appended`. */
  | { after: true };

/** A change of the session's shape. It gives the record another revision, and all other replicas are told (`shape`). */
export type Effect =
  | { type: 'level'; level: string }
  /** `seal`: see `subscriptionSeals` in `SessionRecord`. */
  | { type: 'subscribe'; uri: string; seal?: string }
  | { type: 'unsubscribe'; uri: string }
  /** The answer to an `initialize` that came when the session was there already (HTTP+SSE). `params`: as JSON. */
  | {
      type: 'initialize';
      hears: readonly ListKind[];
      params: string;
      protocolVersion: string;
    };

/** A list of the server about whose changes a client may be told (`notifications/<kind>/list_changed`). */
export type ListKind = 'tools' | 'prompts' | 'resources';

/**
 * A connection is closed: it gives up its claim on a stream. A claim of another connection stays. Its position counts for
 * the standalone stream, if it is higher than the one that is known.
 *
 * Result: `done`.
 */
export interface DetachOperation {
  type: 'detach';
  stream: string;
  token: string;
  /** Up to where the connection has written. */
  position: Position;
  /**
   * True if there never was a connection, since its claim was not answered in time. The connection from which the claim took
   * the stream holds it again, and is told to look at the log.
   */
  neverUsed?: boolean;
}

/** Ends the connection that holds a stream, wherever it is (`hangup`). Result: `received`, with `token` if it is here. */
export interface HangUpOperation {
  type: 'hangup';
  stream: string;
}

/**
 * Gives up the requests of a stream that this node executes and has begun: its executor is {@link RELEASED} from now on, and the
 * node of its holder is told (`orphaned`). Does nothing if this node does not execute the stream. Result: `done`.
 */
export interface ReleaseOperation {
  type: 'release';
  stream: string;
}

/**
 * Takes back an `open` whose POST was refused: removes the stream, and the ids of its requests are free again. Does
 * nothing if another node has begun the stream. Result: `done`.
 */
export interface AbandonOperation {
  type: 'abandon';
  stream: string;
  requests: string[];
}

/** Logs what has happened to a request, beside what was said of it. Results: `done`, `skipped`. */
export interface NoteOperation {
  type: 'note';
  kind: 'request.recovered' | 'request.failed';
  stream: string;
  /** The JSON text of its id. */
  request: string;
  /** The node that had run it, or `undefined` if that is not known. */
  from: string | undefined;
  /** True: only if the operation before this one in the commit came to `appended`. */
  ifAppended?: boolean;
}

/** This node has no replica any more, and does not own the session any more. Result: `done`. */
export interface ForgetOperation {
  type: 'forget';
}

export type OperationResult =
  /** `open`: where its last message stands in the log, with number 0. `owner`: another node, which has to be told. */
  | { status: 'opened'; position: Position; owner?: string }
  | {
      /** `receive`, `hangup`. */
      status: 'received';
      /** Whether this node is the one, or one of those, that it concerns. */
      here: boolean;
      /** `hangup`: the connection of this node that is to be ended. */
      token?: string;
      /** `initialized`, `owner`, and `executor` with `unbegun`: the other node that is to handle the message. */
      handler?: string;
      /** `initialized`: this step made the present revision. */
      changed?: boolean;
      /** `executor`: the stream of the request, which is not begun. */
      unbegun?: string;
      /** With `handler`: the message is too large to be sent along, and stands here in the log. */
      logged?: LogId;
    }
  /**
   * `append`. `token`: the connection of this node that holds the stream; with it, `before`: see {@link StreamEvent}. `ended`:
   * the stream has ended with it.
   */
  | { status: 'appended'; position: Position; token?: string; before?: LogId; ended: boolean }
  /** `append`: it was stored before. Where exactly it stands is not known any more. */
  | { status: 'repeated' }
  /**
   * `append`, `claim`: the request has ended already, or another node runs it. `assign`: the stream has ended. `executor`: the
   * node that runs the stream, or (`unbegun`) is to, perhaps once more (`again`). Without it the stream has ended, or never was.
   */
  | { status: 'dropped'; executor?: string; unbegun?: boolean; again?: boolean }
  /** `claim`, `assign`: the look at the dead node is too old. Nothing was changed, and the caller has to look again. */
  | { status: 'stale' }
  /** `append`: `onlyIf` does not hold, or one of its key waits already. `note`: nothing was appended before it. */
  | { status: 'skipped' }
  /** `open`: one of its request ids is in use by a request that `executor` runs on `stream`. Empty in a repeat. */
  | { status: 'duplicate'; stream: string; executor: string }
  /** `open`: too many requests of the session run already, on these streams. Empty in a repeat. */
  | { status: 'limited'; running: { stream: string; executor: string }[] }
  /** `claim`: the JSON texts of the ids of the requests that had not ended. `owner`: another node, which has to be told. */
  | { status: 'claimed'; requests: string[]; owner?: string }
  | {
      /** `assign`. */
      status: 'assigned';
      /** The node that is to execute the stream. Without a stream: the owner of the session. */
      executor: string;
      /** Whether it has begun. */
      begun: boolean;
      /** Only if it is this node, as of this commit: the JSON texts of the ids of the requests that it has to run. */
      requests?: string[];
      /** With `requests`: where the stream's last message is in the log. Before any answer that is its last request. */
      logId?: LogId;
      /** With `requests`: another node had begun them, and is dead. */
      again?: boolean;
    }
  /** `open`, `receive`: the session is another principal's. */
  | { status: 'denied' }
  | { status: 'done' };
