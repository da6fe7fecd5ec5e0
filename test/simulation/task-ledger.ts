import type { NewTask, TaskChange, TaskStatus } from '../../src/backplane/sdk-store-access.js';
import { isTerminal } from '../../src/backplane/sdk-store-access.js';
import type { QueuedMessage } from '../../src/sdk-stores/store-types.js';
import type { CallRecord } from './records.js';
import type { Scheduler } from './scheduler.js';

/** A task, and all that has happened to it in the backplane. */
export interface SimTask {
  /** The name in the trace, because the id differs in each run. */
  name: string;
  id: string;
  sessionId: string | undefined;
  ttlMs: number;
  pollIntervalMs: number;
  at: number;
  /** The node that works on the task. */
  executor: string;
  changes: TaskStep[];
  messages: TaskMessage[];
  /** The times at which the queue of the task was found empty. */
  foundEmpty: number[];
}

export interface TaskStep {
  status: TaskStatus;
  result: string | undefined;
  nodeId: string;
  at: number;
}

/** A message in the queue of a task, with a mark that no other message has. */
export interface TaskMessage {
  mark: string;
  nodeId: string;
  /** When the message was stored. */
  at: number;
  /** `acknowledged`: the server was told that the message is in the queue. */
  outcome: 'pending' | 'acknowledged' | 'failed';
  /** The nodes that took the message out. `all`: a node took all messages, because the task has ended. */
  taken: { nodeId: string; at: number; all: boolean }[];
  /** What became of sending the message to the client, after a server had taken it. */
  sent: 'no' | 'pending' | 'stored' | 'failed' | 'unknown';
}

/** A request of a client about a task, and the answer. */
export interface TaskAsk {
  client: string;
  sessionId: string;
  taskId: string;
  what: 'get' | 'result' | 'cancel';
  slot: number;
  at: number;
  endedAt: number | undefined;
  /** The status in the answer, or `undefined` if the answer does not tell it. */
  status: string | undefined;
  /** The result that `tasks/result` returned. After an error of any request, the text of the error. */
  result: string | undefined;
  record?: CallRecord;
}

/** What really happened to the tasks of a run. */
export class TaskLedger {
  readonly tasks = new Map<string, SimTask>();
  readonly asks: TaskAsk[] = [];
  /** How many requests about tasks were answered. */
  answers = 0;
  /** The times of which the backplane has lost what was stored of tasks. */
  readonly losses: { since: number; at: number }[] = [];

  constructor(private readonly scheduler: Scheduler) {}

  /** Returns the name of a task in the trace. */
  nameOf(id: string): string {
    return this.tasks.get(id)?.name ?? '?';
  }

  created(nodeId: string, { id, sessionId, ttlMs, pollIntervalMs }: NewTask): void {
    const name = `t${this.tasks.size + 1}`;
    const at = this.scheduler.elapsed;
    const task = { name, id, sessionId, ttlMs, pollIntervalMs, at, executor: nodeId };
    this.tasks.set(id, { ...task, changes: [], messages: [], foundEmpty: [] });
  }

  changed(nodeId: string, { id, status, result }: TaskChange): void {
    const task = this.tasks.get(id);
    if (task === undefined) return;
    if (!isTerminal(status)) task.executor = nodeId;
    task.changes.push({ status, result: resultOf(result), nodeId, at: this.scheduler.elapsed });
  }

  queued(nodeId: string, id: string, text: string): void {
    const at = this.scheduler.elapsed;
    const mark = markOf(text);
    const message: TaskMessage = { mark, nodeId, at, outcome: 'pending', taken: [], sent: 'no' };
    const task = this.tasks.get(id);
    // If a repeat were carried out again, its message would be shown again. So it counts as another message with the same
    // mark.
    task?.messages.push(message);
  }

  taken(nodeId: string, id: string, texts: string[], all: boolean): void {
    if (texts.length === 0) this.tasks.get(id)?.foundEmpty.push(this.scheduler.elapsed);
    for (const text of texts) {
      const message = this.message(id, markOf(text));
      message?.taken.push({ nodeId, at: this.scheduler.elapsed, all });
    }
  }

  message(id: string, mark: string): TaskMessage | undefined {
    return this.tasks.get(id)?.messages.find((each) => each.mark === mark);
  }

  /**
   * Whether a message may be shown twice: a node took it out, a failover may have lost that, and another node took it out
   * again.
   */
  mayBeShownTwice(mark: string): boolean {
    const messages = [...this.tasks.values()].flatMap((task) => task.messages);
    const { taken = [] } = messages.find((each) => each.mark === mark) ?? {};
    return taken.some(({ nodeId, at }, index) => {
      const next = taken[index + 1];
      return next !== undefined && next.nodeId !== nodeId && this.mayHaveLost(at, at);
    });
  }

  /** Whether a failover may have lost something of tasks that was stored in this time. */
  mayHaveLost(from: number, to = Infinity): boolean {
    return this.losses.some(({ since, at }) => since <= to && at >= from);
  }
}

/** Returns the mark of a queued message, from its text. */
function markOf(text: string): string {
  return /"mark":"([^"]*)"/.exec(text)?.[1] ?? '';
}

export function markOfQueued(message: QueuedMessage): string {
  return markOf(JSON.stringify(message));
}

function resultOf(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  return (JSON.parse(text) as { outcome?: string }).outcome ?? 'of a dead node';
}
