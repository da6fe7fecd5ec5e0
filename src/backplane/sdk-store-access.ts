/**
 * What the SDK's stores are kept in. Separate from sessions: each part may be used by itself, and a backplane may do
 * without all of it.
 */
import type { Position } from './backplane.js';

export interface SdkStoreAccess {
  readonly broadcasts: Broadcasts;
  readonly replays: Replays;
  readonly tasks: Tasks;
}

/** Texts for every node that listens. */
export interface Broadcasts {
  /** Stores a text, and wakes the nodes that listen, this one excepted. Rejects with `backplane_unavailable`. */
  publish(text: string): Promise<void>;
  /**
   * From this call on, what other nodes publish, once each, in one order for all nodes; what a lost message or connection
   * holds up comes later. Returns its end.
   */
  listen(listener: BroadcastListener): () => void;
}

export interface BroadcastListener {
  /** Must not throw. */
  onText(text: string): void;
  /** Some were not kept for as long as this node could not hear: nobody knows which. */
  onGap(): void;
}

/** So many broadcasts are kept for nodes that could not hear for a while. */
export const KEPT_BROADCASTS = 1000;

/** Events of the SDK's transports, for clients that resume. A log per session. */
export interface Replays {
  /** Where it stands: a number that counts the stream's events from 1, and a place in the session's log. */
  append(sessionId: string, stream: string, message: string): Promise<Position>;
  /** What comes after `after` in a stream; at most about `maxBytes` of it. */
  read(sessionId: string, stream: string, after: Position, maxBytes: number): Promise<ReplayPage>;
}

export type ReplayPage =
  /** There never was such an event in this session, or nobody remembers. */
  | { status: 'unknown' }
  /** What came after it is not kept any more. */
  | { status: 'trimmed' }
  /** The next event could not be decoded, and nothing may be shown in its place. */
  | { status: 'unreadable' }
  | { status: 'ok'; events: { position: Position; message: string }[]; more: boolean };

export type TaskStatus = 'working' | 'input_required' | 'completed' | 'failed' | 'cancelled';

export function isTerminal(status: TaskStatus): boolean {
  return status === 'completed' || status === 'failed' || status === 'cancelled';
}

/** A task without its result. */
export interface TaskRecord {
  id: string;
  /** The session that it belongs to; `undefined`: none. */
  sessionId: string | undefined;
  status: TaskStatus;
  statusMessage: string | undefined;
  /** How long it is kept, from its creation, and again from its end. */
  ttlMs: number;
  /** ISO 8601. */
  createdAt: string;
  lastUpdatedAt: string;
  pollIntervalMs: number;
  /** The node that works on it: that created it, or gave it its last status. */
  executor: string;
  /** Of the request that it came from. */
  method: string;
  /** Proves that a node with the codec stored `sessionId`. Missing: the node that created the task had no codec. */
  seal?: string | undefined;
}

/** With its place in the order of creation: whole, from 1, and each in its list its own. */
export interface ListedTask {
  record: TaskRecord;
  order: number;
}

export type NewTask = Omit<TaskRecord, 'status' | 'statusMessage' | 'lastUpdatedAt' | 'executor'>;

export interface TaskChange {
  id: string;
  /** Another session's task is as good as gone. `undefined`: whichever session it belongs to. */
  sessionId: string | undefined;
  status: TaskStatus;
  statusMessage: string | undefined;
  /** JSON; with it the task ends. */
  result: string | undefined;
  at: string;
  /** Only while this node is its executor, and was dead at that moment, as in `ClaimOperation`. */
  onlyIf?: string;
  lookedAt?: number;
}

/** How a change turned out. `final`: the task had ended, with that status, or `onlyIf` said no. */
export type TaskChanged =
  { status: 'changed' } | { status: 'gone' } | { status: 'final'; was: TaskStatus };

/** A task that has ended does not change any more. Each call is one atomic step. */
export interface Tasks {
  /** `full`: the session has `most` tasks already, and nothing was changed. */
  create(task: NewTask, most: number): Promise<'created' | 'full'>;
  get(id: string): Promise<TaskRecord | undefined>;
  /** `undefined`: no such task. `unreadable`: it has a result, which could not be decoded. */
  result(
    id: string,
  ): Promise<{ record: TaskRecord; result: string | undefined; unreadable?: true } | undefined>;
  change(change: TaskChange): Promise<TaskChanged>;
  /** The first `count` tasks of a session (`undefined`: of those that belong to none) after a place, in their order. */
  list(sessionId: string | undefined, after: number, count: number): Promise<ListedTask[]>;
  /** `false`: it has `most` messages already. A queue may be there without a task. */
  push(id: string, message: string, most: number): Promise<boolean>;
  /** Nothing, where the task is another session's than the one that asks (`undefined`: it is not said who asks). */
  pop(id: string, sessionId: string | undefined): Promise<string | undefined>;
  popAll(id: string, sessionId: string | undefined): Promise<string[]>;
  /** In front of all others, in their order, however many there are: they were taken out by mistake. */
  putBack(id: string, messages: string[]): Promise<void>;
  /** Resolves when a message is queued, the task has ended, or after `ms`; it may resolve too early. */
  wait(id: string, ms: number): Promise<void>;
}
