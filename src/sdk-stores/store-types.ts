/**
 * The types that the SDK documents for its stores. They are repeated here so that no version of the SDK's types is needed.
 */
import type { ServerEventBus } from '../options/modern-option.js';

/** A JSON-RPC message, whose content does not matter here. */
type Message = object;

/** The `eventStore` of one session for the SDK's `StreamableHTTPServerTransport`. */
export interface EventStore {
  /** Stores an event. Returns its id, which names its stream and is unique in the session. */
  storeEvent(streamId: string, message: Message): Promise<string>;
  /**
   * Returns the stream of an event. `undefined`, for which the SDK answers 400, if the id is not one of this session, or if
   * later events of its stream are no longer all kept.
   */
  getStreamIdForEventId(eventId: string): Promise<string | undefined>;
  /** Sends the later events of the stream. Throws if `getStreamIdForEventId` finds no stream. */
  replayEventsAfter(
    lastEventId: string,
    options: { send(eventId: string, message: never): Promise<void> },
  ): Promise<string>;
}

/** A task as the client sees it: the SDK's `Task`. */
export interface Task {
  taskId: string;
  status: 'working' | 'input_required' | 'completed' | 'failed' | 'cancelled';
  statusMessage?: string;
  /** How long the task is kept, in milliseconds from its creation, and again from its end. Never unlimited. */
  ttl: number;
  createdAt: string;
  lastUpdatedAt: string;
  pollInterval: number;
}

/** The `taskStore` of the SDK's v1 `McpServer`. Rejects with `backplane_unavailable`, and where the SDK's own store does. */
export interface TaskStore {
  /** Creates a task. A missing or longer `ttl` becomes `tasks.maxTtlMs`. */
  createTask(
    params: { ttl?: number | null; pollInterval?: number },
    requestId: string | number,
    request: { method: string },
    sessionId?: string,
  ): Promise<Task>;
  /**
   * Returns a task. `null`: there is none, or it belongs to another session. A task whose node has died is `failed` from
   * then on.
   */
  getTask(taskId: string, sessionId?: string): Promise<Task | null>;
  /** Stores the result of a task and ends it. Throws if the task has ended already, and keeps its first result. */
  storeTaskResult(
    taskId: string,
    status: 'completed' | 'failed',
    result: object,
    sessionId?: string,
  ): Promise<void>;
  getTaskResult(taskId: string, sessionId?: string): Promise<{ [key: string]: unknown }>;
  /** Changes the status of a task. Throws if the task has ended already. */
  updateTaskStatus(
    taskId: string,
    status: Task['status'],
    statusMessage?: string,
    sessionId?: string,
  ): Promise<void>;
  /** Lists the tasks of this session, or without a session those of none. Ten at a time. */
  listTasks(cursor?: string, sessionId?: string): Promise<{ tasks: Task[]; nextCursor?: string }>;
}

/** A message in a task's queue: the SDK's `QueuedMessage`. */
export type QueuedMessage = { timestamp: number } & (
  | { type: 'request'; message: QueuedRequest }
  | { type: 'notification'; message: { jsonrpc: '2.0'; method: string; params?: Params } }
  | { type: 'response'; message: { jsonrpc: '2.0'; id: Id; result: { [key: string]: unknown } } }
  | { type: 'error'; message: { jsonrpc: '2.0'; id?: Id | undefined; error: JsonRpcError } }
);

/** A request to the client. */
export type QueuedRequest = { jsonrpc: '2.0'; id: Id; method: string; params?: Params };
type Id = string | number;
type Params = { [key: string]: unknown } | undefined;
type JsonRpcError = { code: number; message: string; data?: unknown };

/** The `taskMessageQueue` of the SDK's v1 `McpServer`. */
export interface TaskMessageQueue {
  /**
   * Adds a message. Throws if the queue has `maxSize` messages already. A notification that cannot be stored is logged instead, because
   * handlers need not await their notifications.
   */
  enqueue(
    taskId: string,
    message: QueuedMessage,
    sessionId?: string,
    maxSize?: number,
  ): Promise<void>;
  /** Removes and returns the first message. `undefined`: there is none. */
  dequeue(taskId: string, sessionId?: string): Promise<QueuedMessage | undefined>;
  /** Removes and returns all messages. Does not reject: after a failure it removes nothing and logs a warning. */
  dequeueAll(taskId: string, sessionId?: string): Promise<QueuedMessage[]>;
}

/** The SDK's stores, in the backplane. Before a store is used, nothing is subscribed, stored or timed. */
export interface SdkStores {
  /**
   * Returns the `eventStore` of one session, for the SDK's own transports (v1 and v2). It finds events of that session only.
   */
  eventStore(sessionId: string): EventStore;
  /** The task store for `new McpServer(info, { taskStore, taskMessageQueue })` of the v1 SDK. */
  readonly taskStore: TaskStore;
  /**
   * The message queue for the same server. It keeps messages to the client until the client asks for the result of their
   * task.
   */
  readonly taskMessageQueue: TaskMessageQueue;
  /** The bus for the v2 SDK's `createMcpHandler({ bus })`. With it, `subscriptions/listen` hears of changes on all nodes. */
  readonly serverEventBus: ServerEventBus;
}
