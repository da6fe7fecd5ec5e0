/** The operations of a commit, and their results. `docs/backplane.md` says what each has to do. */
import type { LogId, Position } from './positions.js';
import type { Revision } from './revision.js';

export type Operation =
  | OpenOperation
  | ExchangeOperation
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
 * A POST with requests: logs its messages and opens its stream. This node's connection becomes the holder of the stream, and
 * this node becomes its executor. With `owned`, the session's owner is to execute the stream instead (see
 * {@link AssignOperation}), and a session without an owner gets this node as its owner. The session counts as used.
 *
 * Results: `opened`, `denied`, `full`, `duplicate`, `limited`. All but the first change nothing.
 */
export interface OpenOperation {
  type: 'open';
  /** The principal of the sender. If the session belongs to another principal, the result is `denied`. */
  principal: string;
  stream: string;
  /** Names the connection among those of this node. */
  token: string;
  /** The JSON texts of the ids of its requests. */
  requests: string[];
  messages: string[];
  /** The trace of the requests, which is logged with them and kept with the stream. Left out: there is none. */
  trace?: string;
  /**
   * The revision of this node's replica, or `undefined` if this node has none yet. If it is not the current revision, the
   * reply brings the record. From now on this node counts as one with a replica, unless it passes `UNKNOWN_REVISION`.
   * Neither happens if the result names another node as the `owner`, because this node needs no replica then.
   */
  revision: Revision | undefined;
  /** True with `affinity: 'owner'`. Default: this node executes the requests. */
  owned?: boolean;
  /** How many requests of the session may run at a time, these included. Left out: there is no limit. */
  most?: number;
}

/**
 * A POST with one request that has been answered already: logs the request and its answer on a stream of their own, which has
 * ended then. It does what an `open` and an `append` would do in two steps, if this node held the stream and executed it. It is
 * for requests that change nothing, because they have run before they are stored. The session counts as used.
 *
 * Results: `exchanged`, `repeated`, `denied`, `full`, `duplicate`, `limited`, `stale`. Only `exchanged` changes something, and so
 * did `repeated` in its first run.
 */
export interface ExchangeOperation {
  type: 'exchange';
  /** As in {@link OpenOperation}. */
  principal: string;
  /** The name of the stream. No other operation of this kind or `open` has the same name. */
  stream: string;
  /** The JSON text of the id of the request. */
  request: string;
  message: string;
  answer: string;
  /** True if the answer is an error. The session counts its errors. */
  failed?: boolean;
  /** As in {@link OpenOperation}. */
  trace?: string;
  /**
   * The revision of the replica that has answered. If it is not the current one, the result is `stale`. From now on this node
   * counts as one with a replica.
   */
  revision: Revision;
  /** As in {@link OpenOperation}. */
  most?: number;
}

/**
 * One message of the client that opens no stream: logs it, and sends it where `route` says. The session counts as used.
 *
 * Results: `received`, `denied`, `full`. The last two change nothing.
 */
export interface ReceiveOperation {
  type: 'receive';
  /** As in {@link OpenOperation}. */
  principal: string;
  message: string;
  route: Route;
  /**
   * As in {@link OpenOperation}. It has an effect only with the routes `initialized`, `here` and `owner`, and only if this
   * node handles the message.
   */
  revision: Revision | undefined;
}

/**
 * Where a message of the client goes:
 *
 * - `node`: to the node with this id. The message is an answer to a request of that node's server, or progress for it.
 * - `executor`: to the node that runs a request. The message is a cancellation. If the request has not begun, no node is told.
 * - `replicas`: to every node with a replica.
 * - `initialized`: to one node with a replica, and preferably to this node. If no node has a replica, to this node. With
 *   `owned`, to the owner. The message makes the session active, which gives the record another revision, and the backplane
 *   tells all other replicas of it.
 * - `here`: to this node.
 * - `owner`: to the owner of the session. If there is none, this node becomes the owner. The backplane tells no node: the
 *   caller sends the message on.
 * - `nobody`: to no node. The message is only logged, because it answers a question that no node has asked.
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
 * Makes this node the executor of a stream in place of `from`, which the caller knows to be dead. If several nodes try, only
 * one succeeds, because `from` still has to be the executor. After that, the backplane accepts no message of `from` on the
 * stream.
 *
 * A step may be carried out long after it was decided, for instance because Redis refused writes meanwhile. So the operation
 * says when `from` was found dead. If that is more than {@link LOOK_HOLDS_MS} ago, nothing is changed.
 *
 * Results: `claimed`, `stale`, `dropped`.
 */
export interface ClaimOperation {
  type: 'claim';
  stream: string;
  /** The executor that the caller knows of: a node's id, {@link RELEASED}, or {@link RELEASED} followed by a node's id. */
  from: string;
  /** When `from` was found dead, by the clock of `timeOf`. Left out: `from` has released the stream, or is this node. */
  lookedAt?: number;
  /** As in {@link OpenOperation}. */
  revision: Revision | undefined;
  /** True: the session's owner is to execute it. If `from` or no node owned the session, this node becomes the owner. */
  owned?: boolean;
}

/**
 * Gives a stream that has not begun to the session's owner, which is to execute its requests. This node becomes the owner
 * first if no node owns the session, or if the owner is `dead`, a node that the caller knows to be dead.
 *
 * If another node than the owner opened a stream, the stream begins only when the owner assigns it to itself. So every node
 * can tell whether a request has begun. No request runs twice, and no request that was only on its way counts as lost.
 *
 * Results: `assigned`, `stale`, `dropped`.
 */
export interface AssignOperation {
  type: 'assign';
  /** `undefined`: the operation only settles which node owns the session. */
  stream: string | undefined;
  dead: string | undefined;
  /** When `dead` was found dead, as in {@link ClaimOperation}. The step is `stale` only if `dead` owns the session. */
  lookedAt?: number;
  /** As in {@link OpenOperation}, but only if this node has to run the stream, or owns the session. */
  revision: Revision | undefined;
}

/** How long a step may rely on a look that found a node dead, in milliseconds. */
export const LOOK_HOLDS_MS = 1500;

/** Takes the place of a stream's executor after that node has closed. No node has this id. */
export const RELEASED = '-';

/** The coalescing key of messages about one resource. The session forgets it when the subscription ends. */
export function coalescedByUri(uri: string): string {
  return `sub:${uri}`;
}

/**
 * True if no node executes a stream any more, so that its requests may be claimed at once. The executor has either closed
 * ({@link RELEASED}), or lost the session to another owner (`-` followed by the executor's id).
 */
export function isReleased(executor: string): boolean {
  return executor.startsWith(RELEASED);
}

/** Returns the node that executed a stream, or `undefined` if that node has closed and is not named any more. */
export function formerExecutor(executor: string): string | undefined {
  return isReleased(executor) ? executor.slice(RELEASED.length) || undefined : executor;
}

/**
 * One message of the server to the client: logs it, gives it the next number of its stream, and wakes the holder of the
 * stream (`event`) if the holder is on another node. On the stream of a POST, only the executor may append. If the executor
 * has not begun the stream, its `append` begins it.
 *
 * Results: `appended`, `dropped`, `skipped`, `repeated`. All but the first change nothing.
 */
export interface AppendOperation {
  type: 'append';
  stream: string;
  /** `undefined`: the request ends without an answer, so there is nothing to show. */
  message: string | undefined;
  /** The JSON text of the id of the request that this message ends. The stream ends with its last request. */
  ends?: string;
  /** True if the message is a request of this node's server. Clients do not see such a message once this node is gone. */
  asks?: boolean;
  /** True if the request ends with an error. The session counts its errors. Use it only with `ends` and without `asks`. */
  failed?: boolean;
  /** A change of the session's shape, which is stored in the same step. */
  effect?: Effect;
  /** If this condition does not hold, the result is `skipped`. For the condition `unbegun` the result is `dropped`. */
  onlyIf?: Condition;
  /**
   * Skips the message if an earlier message with this key still waits for its client. A message waits if no connection holds
   * the stream, no connection has written the message, and the log still has it. For a resource that the session has
   * subscribed to, the key is {@link coalescedByUri}. The session forgets that key when the subscription ends.
   */
  coalesce?: string;
}

export type Condition =
  /** The server has told the client that it announces changes of this list. */
  | { hears: ListKind }
  /** The client has subscribed to this URI. */
  | { subscribed: string }
  /** This node owns the session. */
  | { owned: true }
  /** This node executes this other stream. If this node has not begun that stream, the operation begins it. */
  | { executes: string }
  /** The stream has not begun, whichever node is to begin it. */
  | { unbegun: true }
  /** The operation before this one in the same commit has the result `opened` or `appended`. */
  | { after: true };

/** A change of the session's shape. It gives the record another revision, and all other replicas are told (`shape`). */
export type Effect =
  | { type: 'level'; level: string }
  /** `seal`: see `subscriptionSeals` in `SessionRecord`. */
  | { type: 'subscribe'; uri: string; seal?: string }
  | { type: 'unsubscribe'; uri: string }
  /** The answer to an `initialize` that came after the session was created (HTTP+SSE). `params` is JSON. */
  | {
      type: 'initialize';
      hears: readonly ListKind[];
      params: string;
      protocolVersion: string;
    };

/** A list of the server. Clients may be told when it changes (`notifications/<kind>/list_changed`). */
export type ListKind = 'tools' | 'prompts' | 'resources';

/**
 * A connection has closed, so it no longer holds its stream. If another connection holds the stream, nothing changes for
 * that one. On the standalone stream, the position of the closed connection is stored if it is higher than the stored one.
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
   * True if the connection was never used, because its `attach` was not answered in time. The connection that held the stream
   * before holds it again, and is told to look at the log.
   */
  neverUsed?: boolean;
}

/**
 * Ends the connection that holds a stream, on whichever node it is (`hangup`). Result: `received`, with `token` if the
 * connection is on this node.
 */
export interface HangUpOperation {
  type: 'hangup';
  stream: string;
}

/**
 * Gives up the requests of a stream that this node executes and has begun. The stream's executor becomes {@link RELEASED}, and
 * the node of its holder is told (`orphaned`). Does nothing if this node does not execute the stream. Result: `done`.
 */
export interface ReleaseOperation {
  type: 'release';
  stream: string;
}

/**
 * Takes back an `open` whose POST was refused: removes the stream, so that the ids of its requests are free again. Does
 * nothing if another node has begun the stream. Result: `done`.
 */
export interface AbandonOperation {
  type: 'abandon';
  stream: string;
  requests: string[];
}

/** Logs a note that a request was recovered, or has failed. Results: `done`, `skipped`. */
export interface NoteOperation {
  type: 'note';
  kind: 'request.recovered' | 'request.failed';
  stream: string;
  /** The JSON text of its id. */
  request: string;
  /** The node that had run it, or `undefined` if that is not known. */
  from: string | undefined;
  /** True: log the note only if the operation before this one in the commit has the result `appended`. */
  ifAppended?: boolean;
}

/** Stores that this node has no replica any more, and does not own the session any more. Result: `done`. */
export interface ForgetOperation {
  type: 'forget';
}

export type OperationResult =
  /**
   * `open`: `position` is the place of its last message in the log, with number 0. `owner`: another node is to execute the
   * stream, and the caller has to tell that node.
   */
  | { status: 'opened'; position: Position; owner?: string }
  /** `exchange`: the places of the request, with number 0, and of the answer, with number 1. */
  | { status: 'exchanged'; asked: Position; answered: Position }
  | {
      /** `receive`, `hangup`. */
      status: 'received';
      /** True if this node is the one that handles it, or one of several. */
      here: boolean;
      /** `hangup`: the connection of this node that is to be ended. */
      token?: string;
      /** The other node that is to handle the message. Routes `initialized`, `owner`, and `executor` with `unbegun`. */
      handler?: string;
      /** Route `initialized`: true if this step made the present revision. */
      changed?: boolean;
      /** Route `executor`: the stream of the request, which has not begun. */
      unbegun?: string;
      /** With `handler`: the place of the message in the log, if the message is too large to be sent to that node. */
      logged?: LogId;
    }
  /**
   * `append`: the message was logged. `token`: the connection of this node that holds the stream. `before` comes with `token`
   * only; see {@link StreamEvent}. `ended`: true if the message has ended the stream.
   */
  | { status: 'appended'; position: Position; token?: string; before?: LogId; ended: boolean }
  /** `append`, `exchange`: the messages were stored by an earlier try. Their places are not known any more. */
  | { status: 'repeated' }
  /**
   * `append`, `claim`: the request has ended already, or another node runs it. `assign`: the stream has ended.
   *
   * `executor` is the node that runs the stream. Without it, the stream has ended or never existed. With `unbegun`, that node
   * still has to begin. With `again`, another node had begun the stream before.
   */
  | { status: 'dropped'; executor?: string; unbegun?: boolean; again?: boolean }
  /**
   * `claim`, `assign`: the node was found dead too long ago. Nothing was changed, and the caller has to look again. `exchange`:
   * the replica that has answered was not current. Nothing was changed, and the request has to be opened.
   */
  | { status: 'stale' }
  /** `append`: `onlyIf` does not hold, or a message with the same `coalesce` waits. `note`: `ifAppended` does not hold. */
  | { status: 'skipped' }
  /** `open`, `exchange`: a request that `executor` runs on `stream` has one of the ids. In a repeat, both are empty. */
  | { status: 'duplicate'; stream: string; executor: string }
  /** `open`, `exchange`: too many requests of the session run already, on these streams. In a repeat, the list is empty. */
  | { status: 'limited'; running: { stream: string; executor: string }[] }
  /**
   * `claim`: `requests` has the JSON texts of the ids of the requests that have not ended, and `trace` is what they were opened
   * with. `owner`: another node is to execute them, and the caller has to tell that node.
   */
  | { status: 'claimed'; requests: string[]; owner?: string; trace?: string }
  | {
      /** `assign`: the stream has this executor. */
      status: 'assigned';
      /** The node that is to execute the stream. Without a stream: the owner of the session. */
      executor: string;
      /** True if the executor has begun the stream. */
      begun: boolean;
      /** Set if this commit made this node begin the stream: the JSON texts of the ids of the requests that it has to run. */
      requests?: string[];
      /** With `requests`: the place of the stream's last message in the log. Before any answer, that is its last request. */
      logId?: LogId;
      /** With `requests`: true if another node had begun the requests before, and is dead. */
      again?: boolean;
    }
  /** `open`, `exchange`, `receive`: the session belongs to another principal. */
  | { status: 'denied' }
  /** `open`, `exchange`, `receive`: the outbox of the audit trail is full, and refuses what begins (see `OutboxLimits`). */
  | { status: 'full' }
  | { status: 'done' };
