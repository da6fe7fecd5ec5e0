/** The storage of a backplane for the SDK's stores. It is separate from sessions, and a backplane may leave it out. */
import type { Position } from './backplane.js';

export interface SdkStoreAccess {
  readonly broadcasts: Broadcasts;
  readonly replays: Replays;
  readonly tasks: Tasks;
}

/** Sends texts to all nodes that listen. */
export interface Broadcasts {
  /** Stores a text and wakes the other nodes that listen. Rejects with `backplane_unavailable`. */
  publish(text: string): Promise<void>;
  /**
   * Calls the listener for each text that other nodes publish from now on: once for each, and in the same order on all nodes.
   * A text whose wake-up was lost arrives later. Returns a function that ends the subscription.
   */
  listen(listener: BroadcastListener): () => void;
}

export interface BroadcastListener {
  /** Must not throw. */
  onText(text: string): void;
  /** Called if this node has missed texts that are no longer kept. It is not known which texts. */
  onGap(): void;
}

/** How many texts are kept for nodes that were disconnected for a while. */
export const KEPT_BROADCASTS = 1000;

/** Events of the SDK's transports, for clients that resume. Each session has a log. Calls reject with `backplane_unavailable`. */
export interface Replays {
  /** Stores an event. Returns its number, which counts the stream's events from 1, and its place in the session's log. */
  append(sessionId: string, stream: string, message: string): Promise<Position>;
  /** Returns a page of a stream after `after`. The page ends with the event that makes it `maxBytes` long or longer. */
  read(sessionId: string, stream: string, after: Position, maxBytes: number): Promise<ReplayPage>;
}

export type ReplayPage =
  /** The session never had the event `after`, or has forgotten it. */
  | { status: 'unknown' }
  /** Some events after `after` are no longer kept. */
  | { status: 'trimmed' }
  /** The next event could not be decoded, and nothing may be shown in its place. Returned only with a codec. */
  | { status: 'unreadable' }
  | { status: 'ok'; events: { position: Position; message: string }[]; more: boolean };

export type TaskStatus = 'working' | 'input_required' | 'completed' | 'failed' | 'cancelled';

export function isTerminal(status: TaskStatus): boolean {
  return status === 'completed' || status === 'failed' || status === 'cancelled';
}

/** A task without its result. */
export interface TaskRecord {
  id: string;
  /** The session of the task, or `undefined` if the task belongs to no session. */
  sessionId: string | undefined;
  status: TaskStatus;
  statusMessage: string | undefined;
  /** How long the task is kept from its creation, and again from its end. */
  ttlMs: number;
  /** ISO 8601. */
  createdAt: string;
  lastUpdatedAt: string;
  pollIntervalMs: number;
  /** The node that works on the task. It created the task, or was the last to give it a status. */
  executor: string;
  /** The method of the request that created the task. */
  method: string;
  /** Proves that a node with the codec stored `sessionId`. Missing: the node that created the task had no codec. */
  seal?: string | undefined;
}

/** A task, and its place in the order of creation: a whole number from 1 that no other task of the same list has. */
export interface ListedTask {
  record: TaskRecord;
  order: number;
}

export type NewTask = Omit<TaskRecord, 'status' | 'statusMessage' | 'lastUpdatedAt' | 'executor'>;

export interface TaskChange {
  id: string;
  /** The session of the caller. A task of another session counts as gone. `undefined`: the task may belong to any session. */
  sessionId: string | undefined;
  status: TaskStatus;
  statusMessage: string | undefined;
  /** The result as JSON. `undefined`: the stored result stays as it is. */
  result: string | undefined;
  at: string;
  /** Change the task only while this node is its executor. */
  onlyIf?: string;
  /** With `onlyIf`: when that node was found dead, as in `ClaimOperation`. */
  lookedAt?: number;
}

/** The outcome of a change. `final`: the task has ended or `onlyIf` did not hold, so the task keeps its status `was`. */
export type TaskChanged =
  { status: 'changed' } | { status: 'gone' } | { status: 'final'; was: TaskStatus };

/**
 * Tasks and their message queues. A task that has ended does not change any more. Each call is one atomic step, and rejects
 * with `backplane_unavailable`.
 */
export interface Tasks {
  /** Stores a task. `full`: the session has `most` tasks already, and nothing was changed. */
  create(task: NewTask, most: number): Promise<'created' | 'full'>;
  get(id: string): Promise<TaskRecord | undefined>;
  /** Returns a task and its result, if there is such a task. `unreadable`: the result could not be decoded. */
  result(
    id: string,
  ): Promise<{ record: TaskRecord; result: string | undefined; unreadable?: true } | undefined>;
  change(change: TaskChange): Promise<TaskChanged>;
  /**
   * Returns the first `count` tasks of a session after a place, in their order. Without `sessionId`, returns those that
   * belong to no session.
   */
  list(sessionId: string | undefined, after: number, count: number): Promise<ListedTask[]>;
  /** Puts a message at the end of a queue, which need not have a task. Returns false if the queue has `most` messages. */
  push(id: string, message: string, most: number): Promise<boolean>;
  /**
   * Takes the first message out of a queue, and returns it if there was one. With `sessionId`, takes none from the task of
   * another session.
   */
  pop(id: string, sessionId: string | undefined): Promise<string | undefined>;
  /** Does the same with all messages. */
  popAll(id: string, sessionId: string | undefined): Promise<string[]>;
  /** Puts messages that were taken out by mistake back in front of all others, in their order, however many there are. */
  putBack(id: string, messages: string[]): Promise<void>;
}
