import { isTerminal } from '../../src/backplane/sdk-store-access.js';
import type { Clock } from '../../src/protocol/timing/clock.js';
import type { QueuedMessage, SdkStores } from '../../src/sdk-stores/store-types.js';
import type { Ledger } from './ledger.js';
import type { Execution } from './records.js';
import type { ToolStep } from './server.js';
import { markOfQueued } from './task-ledger.js';

type Id = string | number;

/** A request to a client, with the id that its server gave it. */
export interface ClientRequest {
  id: number;
  method: string;
  params: { mark: string; message: string };
}

/** The lifetime that a client asks for when it creates a task, and the poll interval that the server chooses. */
export interface TaskWish {
  ttl: number;
  pollInterval: number;
}

/** The parts of the server that its `TaskServer` needs. */
export interface TaskServerHost {
  ledger: Ledger;
  clock: Clock;
  sessionId: string;
  /** False once the server was closed. The SDK's server then sends and queues nothing more. */
  isConnected: () => boolean;
  /**
   * Returns what became of a notification that was sent at this time, and whose promise has resolved. Only warnings of the
   * node tell whether it failed, so the result may be `unknown`.
   */
  deliveryOf: (sentAt: number) => 'stored' | 'failed' | 'unknown';
  stores: () => Pick<SdkStores, 'taskStore' | 'taskMessageQueue'>;
  /** Sends a message on the stream of a request. */
  send(message: object, relatedRequestId: Id): Promise<void>;
  /** Asks the client with a request, which `put` puts where the client will find it. Resolves when the question is over. */
  ask(
    mark: string,
    execution: Execution,
    put: (request: ClientRequest) => Promise<void>,
  ): Promise<void>;
}

/** After how long a worker repeats a step that the backplane did not carry out. */
const AGAIN_MS = 300;

/**
 * Serves tasks like the SDK (`shared/protocol.js`), call by call, but without real time. Also does the work of the tasks,
 * which puts its messages into the queue of the task.
 */
export class TaskServer {
  /** Requests for results that wait. `stop` gives a request up. */
  private readonly waiting = new Map<string, { isOver: boolean; stop: () => void }>();
  private marks = 0;

  constructor(private readonly host: TaskServerHost) {}

  /** Creates a task for a `tools/call`, and returns the answer for the client. The work goes on in the background. */
  async create(
    requestId: Id,
    { ttl, pollInterval }: TaskWish,
    execution: Execution,
    steps: ToolStep[],
  ): Promise<object> {
    const { stores, sessionId } = this.host;
    const task = await stores().taskStore.createTask(
      ...([{ ttl, pollInterval }, requestId, { method: 'tools/call' }, sessionId] as const),
    );
    void this.work(task.taskId, execution, steps);
    return task;
  }

  /** Gives up a request for a result, because its client has cancelled it. */
  stop(key: string): void {
    this.waiting.get(key)?.stop();
  }

  stopAll(): void {
    for (const each of this.waiting.values()) each.stop();
  }

  /**
   * Answers a request about a task. Resolves with `undefined` if the request was given up. Rejects if the answer is an
   * error.
   */
  async answer(
    id: Id,
    method: string,
    params: Record<string, unknown>,
  ): Promise<object | undefined> {
    const taskId = String(params.taskId);
    const { taskStore } = this.host.stores();
    switch (method) {
      case 'tasks/result':
        return this.result(id, taskId);
      case 'tasks/cancel':
        return this.cancel(taskId);
      case 'tasks/list':
        return taskStore.listTasks(undefined, this.host.sessionId);
      default: {
        const task = await taskStore.getTask(taskId, this.host.sessionId);
        if (task === null) throw new Error('Task not found');
        return task;
      }
    }
  }

  private async cancel(taskId: string): Promise<object> {
    const { stores, sessionId } = this.host;
    const { taskStore, taskMessageQueue } = stores();
    const before = await taskStore.getTask(taskId, sessionId);
    if (before === null) throw new Error('Task not found');
    if (isTerminal(before.status))
      throw new Error(`Cannot cancel task in terminal status: ${before.status}`);
    await taskStore.updateTaskStatus(
      taskId,
      'cancelled',
      'Client cancelled task execution.',
      sessionId,
    );
    await taskMessageQueue.dequeueAll(taskId, sessionId);
    const task = await taskStore.getTask(taskId, sessionId);
    if (task === null) throw new Error('Task not found after cancellation');
    return task;
  }

  private async result(id: Id, taskId: string): Promise<object | undefined> {
    const { stores, sessionId, clock, ledger } = this.host;
    const { taskStore, taskMessageQueue } = stores();
    const key = JSON.stringify(id);
    const given = { isOver: false, stop: (): void => undefined };
    given.stop = () => (given.isOver = true);
    this.waiting.set(key, given);
    try {
      const isOver = (): boolean => given.isOver;
      while (!isOver()) {
        if ((await taskStore.getTask(taskId, sessionId)) === null)
          throw new Error('Task not found');
        for (;;) {
          const queued = await taskMessageQueue.dequeue(taskId, sessionId);
          if (queued === undefined) break;
          const message = ledger.tasks.message(taskId, markOfQueued(queued));
          if (message !== undefined) message.sent = 'pending';
          // The promise also resolves if a notification was not delivered. Then the node has warned.
          const sentAt = ledger.now;
          await this.host.send(queued.message, id).then(
            () => message && (message.sent = this.host.deliveryOf(sentAt)),
            (error: unknown) => {
              if (message !== undefined) message.sent = 'failed';
              throw error;
            },
          );
        }
        const task = await taskStore.getTask(taskId, sessionId);
        if (task === null) throw new Error('Task not found');
        if (isTerminal(task.status)) {
          const result = await taskStore.getTaskResult(taskId, sessionId);
          void taskMessageQueue.dequeueAll(taskId, sessionId);
          return isOver() ? undefined : result;
        }
        let interval = 1000;
        try {
          interval = (await taskStore.getTask(taskId, sessionId))?.pollInterval ?? interval;
        } catch {
          // The SDK then waits for its default interval.
        }
        if (isOver()) return undefined;
        await new Promise<void>((resolve) => {
          const cancelTimer = clock.after(interval, resolve);
          given.stop = () => {
            given.isOver = true;
            cancelTimer();
            resolve();
          };
        });
      }
      return undefined;
    } catch (error) {
      // The SDK sends neither the result nor the error of a request that was cancelled.
      if (given.isOver) return undefined;
      throw error;
    } finally {
      if (this.waiting.get(key) === given) this.waiting.delete(key);
    }
  }

  private async work(taskId: string, execution: Execution, steps: ToolStep[]): Promise<void> {
    const { stores, sessionId, clock, ledger } = this.host;
    const { taskStore } = stores();
    const name = ledger.tasks.nameOf(taskId);
    for (const step of steps) {
      if (step.do === 'wait') {
        await new Promise<void>((resolve) => clock.after(Math.min(step.ms, 3000), resolve));
      } else if (step.do === 'ask') {
        await this.ask(taskId, name, execution);
      } else {
        const mark = this.nextMark(name);
        const message = {
          jsonrpc: '2.0' as const,
          method: 'notifications/message',
          params: { mark },
        };
        await this.put(taskId, mark, { timestamp: 0, type: 'notification', message }).catch(
          () => undefined,
        );
      }
    }
    for (;;) {
      try {
        await taskStore.storeTaskResult(
          taskId,
          'completed',
          { outcome: `${name} is done` },
          sessionId,
        );
        return;
      } catch (error) {
        // The task has ended in another way or does not exist, or this node closes.
        if ((error as { code?: string }).code !== 'backplane_unavailable') return;
        await new Promise<void>((resolve) => clock.after(AGAIN_MS, resolve));
      }
    }
  }

  private async ask(taskId: string, name: string, execution: Execution): Promise<void> {
    const { stores, sessionId } = this.host;
    const mark = this.nextMark(name);
    await stores()
      .taskStore.updateTaskStatus(taskId, 'input_required', undefined, sessionId)
      .catch(() => undefined);
    await this.host.ask(mark, execution, (request) =>
      this.put(taskId, mark, {
        timestamp: 0,
        type: 'request',
        message: { jsonrpc: '2.0', ...request, params: { ...request.params } },
      }),
    );
  }

  /** Puts a message into the queue of a task. Rejects if the message is not in the queue, or if that is not known. */
  private async put(taskId: string, mark: string, queued: QueuedMessage): Promise<void> {
    const { stores, sessionId, ledger, isConnected } = this.host;
    if (!isConnected()) throw new Error('Not connected');
    const end = (outcome: 'acknowledged' | 'failed'): void => {
      const message = ledger.tasks.message(taskId, mark);
      if (message !== undefined) message.outcome = outcome;
    };
    await stores()
      .taskMessageQueue.enqueue(taskId, queued, sessionId)
      .then(
        () => end('acknowledged'),
        (error: unknown) => {
          end('failed');
          throw error;
        },
      );
  }

  private nextMark(name: string): string {
    this.marks += 1;
    return `${name}.${this.marks}`;
  }
}
