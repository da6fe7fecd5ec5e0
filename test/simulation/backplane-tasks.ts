import type {
  ListedTask,
  NewTask,
  TaskChange,
  TaskChanged,
  TaskRecord,
  Tasks,
} from '../../src/backplane/sdk-store-access.js';
import type { MemoryTasks } from '../../src/backplane/memory/memory-tasks.js';
import type { Link } from './link.js';
import type { Scheduler } from './scheduler.js';
import { Snapshot } from './snapshot.js';
import type { TaskLedger } from './task-ledger.js';

/** The state that the task stores of all nodes share. */
export class SharedTasks {
  /** The token of the last change of each task, as in `task-change.lua`. */
  readonly lastChanges = new Map<string, string>();

  /** The tokens of messages that were put into a queue. */
  readonly put = new Set<string>();

  constructor(
    private readonly memory: MemoryTasks,
    readonly ledger: TaskLedger,
    readonly scheduler: Scheduler,
  ) {}

  /** Remembers what a replica of the Redis master has received so far. The returned function makes the replica the master. */
  replicate(): () => void {
    const { tasks, queues } = { tasks: this.memory['tasks'], queues: this.memory['queues'] };
    const snapshot = new Snapshot([tasks, queues, this.lastChanges, this.put]);
    const since = this.scheduler.elapsed;
    return () => {
      snapshot.restore();
      this.ledger.losses.push({ since, at: this.scheduler.elapsed });
    };
  }
}

export interface SimTasksParts {
  inner: Tasks;
  shared: SharedTasks;
  nodeId: string;
  read: Link['run'];
  write: Link['run'];
}

/** The tasks of the memory backplane behind a network, with the repeats of the scripts of `redis-tasks.ts`. */
export class SimTasks implements Tasks {
  private count = 0;

  constructor(private readonly parts: SimTasksParts) {}

  create(task: NewTask, most: number): Promise<'created' | 'full'> {
    const { inner, nodeId, shared } = this.parts;
    let reply: 'created' | 'full' | undefined;
    return this.parts.write('task-create', async () => {
      // A repeat stores and lists the task once, because the id is the same.
      if (reply !== undefined) return reply;
      reply = await inner.create(task, most);
      if (reply === 'created') shared.ledger.created(nodeId, task);
      this.note(task.id, reply);
      return reply;
    });
  }

  get(id: string): Promise<TaskRecord | undefined> {
    return this.parts.read('task-get', () => this.parts.inner.get(id));
  }

  result(id: string): ReturnType<Tasks['result']> {
    return this.parts.read('task-result', () => this.parts.inner.result(id));
  }

  list(...args: Parameters<Tasks['list']>): Promise<ListedTask[]> {
    return this.parts.read('task-list', () => this.parts.inner.list(...args));
  }

  change(change: TaskChange): Promise<TaskChanged> {
    const { inner, nodeId, shared } = this.parts;
    const token = this.token();
    return this.parts.write('task-change', async () => {
      if (shared.lastChanges.get(change.id) === token) return { status: 'changed' as const };
      const reply = await inner.change(change);
      this.note(change.id, `${change.status}: ${reply.status}`);
      if (reply.status === 'changed') {
        shared.lastChanges.set(change.id, token);
        shared.ledger.changed(nodeId, change);
      }
      return reply;
    });
  }

  push(id: string, message: string, most: number): Promise<boolean> {
    const { inner, nodeId, shared } = this.parts;
    const token = this.token();
    return this.parts.write('task-push', async (attempt) => {
      if (attempt > 0 && shared.put.has(token)) return true;
      const pushed = await inner.push(id, message, most);
      if (pushed) {
        shared.put.add(token);
        shared.ledger.queued(nodeId, id, message);
      }
      this.note(id, pushed ? 'queued' : 'queue is full');
      return pushed;
    });
  }

  async pop(id: string, sessionId: string | undefined): Promise<string | undefined> {
    const [message] = await this.take(id, false, async () => {
      const text = await this.parts.inner.pop(id, sessionId);
      return text === undefined ? [] : [text];
    });
    return message;
  }

  popAll(id: string, sessionId: string | undefined): Promise<string[]> {
    return this.take(id, true, () => this.parts.inner.popAll(id, sessionId));
  }

  putBack(id: string, messages: string[]): Promise<void> {
    return this.parts.write('task-push', () => this.parts.inner.putBack(id, messages));
  }

  /** Takes messages out of a queue. A repeat of the call gets the same messages again. */
  private take(id: string, all: boolean, run: () => Promise<string[]>): Promise<string[]> {
    const { nodeId, shared } = this.parts;
    let taken: string[] | undefined;
    return this.parts.write('task-pop', async () => {
      if (taken !== undefined && taken.length > 0) return taken;
      taken = await run();
      shared.ledger.taken(nodeId, id, taken, all);
      if (taken.length > 0) this.note(id, `${taken.length} taken out`);
      return taken;
    });
  }

  private token(): string {
    this.count += 1;
    return `${this.parts.nodeId}:${this.count}`;
  }

  private note(id: string, text: string): void {
    const { shared, nodeId } = this.parts;
    shared.scheduler.note(`${nodeId} task ${shared.ledger.nameOf(id)} ${text}`);
  }
}
