/** The shapes that the SDK documents for its stores, so that types of none of its versions are needed here. */

/** A change that clients may have subscribed to (`subscriptions/listen`): the SDK's `ServerEvent`. */
export type ServerEvent = (
  | { kind: 'tools_list_changed' }
  | { kind: 'prompts_list_changed' }
  | { kind: 'resources_list_changed' }
  | { kind: 'resource_updated'; uri: string }
) & { params?: { [key: string]: unknown } | undefined };

/** The `bus` of the v2 SDK's `createMcpHandler`, for all nodes. */
export interface ServerEventBus {
  /**
   * Tells the listeners of this node at once, and those of all others through the backplane. Returns before that is
   * done and does not throw; if the backplane cannot be reached in `commandTimeoutMs`, the others are not told, and a
   * warning says so.
   */
  publish(event: ServerEvent): void;
  /**
   * From now on, events of all nodes. A node that could not hear for a while gets what it missed when it can, in order;
   * if some of that is not kept any more, one of each `…_list_changed`. Returns its end, which may be called again.
   */
  subscribe(listener: (event: ServerEvent) => void): () => void;
}

/** A JSON-RPC message, as far as it matters here. */
type Message = object;

/** The `eventStore` of the SDK's `StreamableHTTPServerTransport`, of one session. */
export interface EventStore {
  /** Returns the id of the event, which names its stream and is unique in the session. */
  storeEvent(streamId: string, message: Message): Promise<string>;
  /**
   * `undefined`, to which the SDK answers 400, for what is no event id of this session, and for one whose successors are
   * not all kept any more.
   */
  getStreamIdForEventId(eventId: string): Promise<string | undefined>;
  /** What came after it in its stream. Throws where `getStreamIdForEventId` finds nothing. */
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
  /** Milliseconds, from its creation and again from its end. Never unlimited. */
  ttl: number;
  createdAt: string;
  lastUpdatedAt: string;
  pollInterval: number;
}

/** The `taskStore` of the SDK's v1 `McpServer`. Rejects with `backplane_unavailable`, and as the SDK's own one does. */
export interface TaskStore {
  /** Without a `ttl`, or with one that is longer, it is `tasks.maxTtlMs`. */
  createTask(
    params: { ttl?: number | null; pollInterval?: number },
    requestId: string | number,
    request: { method: string },
    sessionId?: string,
  ): Promise<Task>;
  /** `null`: there is none, or it is another session's. One whose node has died is `failed` from then on. */
  getTask(taskId: string, sessionId?: string): Promise<Task | null>;
  /** Throws where the task has ended already: what it ended with stays. */
  storeTaskResult(
    taskId: string,
    status: 'completed' | 'failed',
    result: object,
    sessionId?: string,
  ): Promise<void>;
  getTaskResult(taskId: string, sessionId?: string): Promise<{ [key: string]: unknown }>;
  /** Throws where the task has ended already. */
  updateTaskStatus(
    taskId: string,
    status: Task['status'],
    statusMessage?: string,
    sessionId?: string,
  ): Promise<void>;
  /** Tasks of this session; without one, those of none. Ten at a time. */
  listTasks(cursor?: string, sessionId?: string): Promise<{ tasks: Task[]; nextCursor?: string }>;
}

/** What waits in a task's queue: the SDK's `QueuedMessage`. */
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
  /** Throws where there are `maxSize` messages in it already. */
  enqueue(
    taskId: string,
    message: QueuedMessage,
    sessionId?: string,
    maxSize?: number,
  ): Promise<void>;
  /** Takes the first one out; `undefined`: there is none. */
  dequeue(taskId: string, sessionId?: string): Promise<QueuedMessage | undefined>;
  /** Does not reject: where it cannot be done, nothing is taken out, and a warning says so. */
  dequeueAll(taskId: string, sessionId?: string): Promise<QueuedMessage[]>;
}

/** Options of `taskStore`. */
export interface TaskOptions {
  /** How long a task is kept at most, from its creation and again from its end. Default 24 hours. */
  maxTtlMs?: number | undefined;
  /** How many tasks a session may have. Creating more fails. Default 1,000. */
  maxPerSession?: number | undefined;
  /**
   * What becomes of a task whose node is gone before the task ended. With `fail`, the task has `failed` from when a
   * client next asks for it. With `keep`, the task stays as it is, for servers whose tasks are worked on elsewhere.
   * The node of a task is the one that created it, or the last one that gave it a status. Default `fail`.
   */
  orphans?: 'fail' | 'keep' | undefined;
}

/** What the SDK lets a server store elsewhere, in the backplane. Nothing is subscribed, stored or timed before it is used. */
export interface SdkStores {
  /** The `eventStore` of one session, for the SDK's own transports (v1 and v2). Events are looked up in that session only. */
  eventStore(sessionId: string): EventStore;
  /** For `new McpServer(info, { taskStore, taskMessageQueue })` of the v1 SDK. */
  readonly taskStore: TaskStore;
  /** For the same: messages to the client that wait until it asks for the result of their task. */
  readonly taskMessageQueue: TaskMessageQueue;
  /** For the v2 SDK's `createMcpHandler({ bus })`: `subscriptions/listen` hears of changes on all nodes. */
  readonly serverEventBus: ServerEventBus;
}
