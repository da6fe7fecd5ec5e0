/** What a commit consists of, and what comes of it. */
import type { LogId, Position } from './positions.js';
import type { Revision } from './revision.js';

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
  revision: Revision | undefined;
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
  revision: Revision | undefined;
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
 *
 * A step may be carried out long after it was decided, for instance when Redis had refused writes meanwhile. So it says
 * when `from` was found dead, and does nothing (`stale`) where that is more than {@link LOOK_HOLDS_MS} ago.
 */
export interface ClaimOperation {
  type: 'claim';
  stream: string;
  from: string;
  /** When `from` was dead, by the clock of `timeOf`. Left out: `from` has released the stream, or is this node. */
  lookedAt?: number;
  /** The revision of this node's replica; `undefined`: it has none yet, and may have one now. */
  revision: Revision | undefined;
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
  /** With `dead`, as in {@link ClaimOperation}: the step is `stale` only if it would take the session from that node. */
  lookedAt?: number;
  /** As in {@link ClaimOperation}. */
  revision: Revision | undefined;
}

/** How long a node counts as dead after a look that found it dead, in milliseconds: until then a step may build on it. */
export const LOOK_HOLDS_MS = 1500;

/** The executor of a stream whose own node has closed. No node is called so. */
export const RELEASED = '-';

/** The coalescing key of messages about one resource. The session forgets it with the subscription. */
export function coalescedByUri(uri: string): string {
  return `sub:${uri}`;
}

/**
 * Whether nobody executes a stream any more, so that its requests may be claimed at once: its node has closed
 * ({@link RELEASED}), or it has lost the session to another owner (the same, with the node's id behind it).
 */
export function isReleased(executor: string): boolean {
  return executor.startsWith(RELEASED);
}

/** The node that executed a stream; `undefined`: it has closed, and is not named any more. */
export function formerExecutor(executor: string): string | undefined {
  return isReleased(executor) ? executor.slice(RELEASED.length) || undefined : executor;
}

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
  effect?: Effect;
  /**
   * Append only to a session that `hears` of this list, or has subscribed to this URI; only while this node owns the
   * session, or executes this other stream; to a stream that nobody has begun to execute, whoever is to; or where the operation before this one, an
   * `open` or `append` of the same step, was carried out.
   */
  onlyIf?:
    | { hears: ListKind }
    | { subscribed: string }
    | { owned: true }
    | { executes: string }
    | { unbegun: true }
    | { after: true };
  /**
   * Skip it where a message of this key still waits, unshown, for a client with no connection. The key of a resource that
   * the session has subscribed to is {@link coalescedByUri}: it is forgotten when the subscription ends.
   */
  coalesce?: string;
}

/** A change of the session's shape. It gives the record another revision, and all other replicas are told (`shape`). */
export type Effect =
  | { type: 'level'; level: string }
  /** `seal`: see `subscriptionSeals` in {@link SessionRecord}. */
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
   * `append`, `claim`: the request has ended already, or runs elsewhere now. `assign`: the stream has ended. `executor`:
   * who runs the stream, or (`unbegun`) is to, perhaps once more (`again`); none: it has ended, or there never was such a stream.
   */
  | { status: 'dropped'; executor?: string; unbegun?: boolean; again?: boolean }
  /** `claim`, `assign`: the look at the dead node is too old. Nothing was changed, and the caller has to look again. */
  | { status: 'stale' }
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
   * `requests`: it is this node, as of now; the JSON texts of the ids of what it has to run. `logId`: where the stream's
   * last message is in the log; of one that had not begun, the last of its requests. `again`: another node had begun them,
   * and is dead.
   */
  | {
      status: 'assigned';
      executor: string;
      begun: boolean;
      requests?: string[];
      logId?: LogId;
      again?: boolean;
    }
  | { status: 'denied' }
  | { status: 'done' };
