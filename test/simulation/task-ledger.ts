import type { NewTask, TaskChange, TaskStatus } from '../../src/backplane/sdk-store-access.js';
import { isTerminal } from '../../src/backplane/sdk-store-access.js';
import type { QueuedMessage } from '../../src/sdk-stores/store-types.js';
import type { CallRecord } from './records.js';
import type { Scheduler } from './scheduler.js';

/** A task, and what has become of it in the backplane. */
export interface SimTask {
  /** Instead of its id, which is another one in each run. */
  name: string;
  id: string;
  sessionId: string | undefined;
  ttlMs: number;
  pollIntervalMs: number;
  at: number;
  /** The node that works on it. */
  executor: string;
  changes: TaskStep[];
  messages: TaskMessage[];
  /** When its queue was found empty. */
  foundEmpty: number[];
}

export interface TaskStep {
  status: TaskStatus;
  result: string | undefined;
  nodeId: string;
  at: number;
}

/** A message in the queue of a task, with a mark that nothing else has. */
export interface TaskMessage {
  mark: string;
  nodeId: string;
  /** When it was stored. */
  at: number;
  /** `acknowledged`: its server was told that it is in the queue. */
  outcome: 'pending' | 'acknowledged' | 'failed';
  /** `all`: with all others, by a node that clears the queue of a task that has ended. */
  taken: { nodeId: string; at: number; all: boolean }[];
  /** By the server that has taken it, to its client. */
  sent: 'no' | 'pending' | 'stored' | 'failed' | 'unknown';
}

/** What a client has asked of a task, and was told. */
export interface TaskAsk {
  client: string;
  sessionId: string;
  taskId: string;
  what: 'get' | 'result' | 'cancel';
  slot: number;
  at: number;
  endedAt: number | undefined;
  /** `undefined`: it was not told. */
  status: string | undefined;
  /** Of `tasks/result`: the result; of all: the text of an error. */
  result: string | undefined;
  record?: CallRecord;
}

/** What really happened to tasks. */
export class TaskLedger {
  readonly tasks = new Map<string, SimTask>();
  readonly asks: TaskAsk[] = [];
  /** How many requests about tasks were answered. */
  answers = 0;
  /** The backplane has lost what it had stored of tasks in this time. */
  readonly losses: { since: number; at: number }[] = [];

  constructor(private readonly scheduler: Scheduler) {}

  /** How a task is called in the trace. */
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
    // A repeat that is carried out again would be shown again: it counts as what it is, a message with the same mark.
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

  /** Whether a failover may have put a message back into its queue that one node had taken out, and another node took it then. */
  mayBeShownTwice(mark: string): boolean {
    const messages = [...this.tasks.values()].flatMap((task) => task.messages);
    const { taken = [] } = messages.find((each) => each.mark === mark) ?? {};
    return taken.some(({ nodeId, at }, index) => {
      const next = taken[index + 1];
      return next !== undefined && next.nodeId !== nodeId && this.mayHaveLost(at, at);
    });
  }

  /** Whether something may have been lost that was stored of tasks in this time. */
  mayHaveLost(from: number, to = Infinity): boolean {
    return this.losses.some(({ since, at }) => since <= to && at >= from);
  }
}

/** The mark of a message in a queue, as it is stored or as it was taken. */
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
