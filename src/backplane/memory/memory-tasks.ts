import type { NewTask, TaskChange, TaskChanged, TaskRecord, Tasks } from '../sdk-store-access.js';
import { isTerminal } from '../sdk-store-access.js';
import type { JoinOptions } from '../backplane.js';
import { isStale } from './stream-executors.js';
import type { Step } from './memory-sdk-stores.js';

interface Stored {
  record: TaskRecord;
  order: number;
  result: string | undefined;
  expiresAt: number;
}

/** The tasks of nodes that share a memory backplane. Expired tasks are removed when new ones are created. */
export class MemoryTasks {
  private readonly tasks = new Map<string, Stored>();
  private readonly queues = new Map<string, { messages: string[]; expiresAt: number }>();
  private order = 0;

  of({ nodeId, retention }: JoinOptions, step: Step): Tasks {
    return {
      create: (task, most) => step((now) => this.create(task, most, nodeId, now)),
      get: (id) => step((now) => copy(this.find(id, now)?.record)),
      result: (id) =>
        step((now) => {
          const stored = this.find(id, now);
          return stored && { record: { ...stored.record }, result: stored.result };
        }),
      change: (change) => step((now) => this.change(change, nodeId, now)),
      list: (sessionId, after, count) =>
        step((now) =>
          [...this.tasks.values()]
            .filter(
              ({ record, order, expiresAt }) =>
                record.sessionId === sessionId && order > after && expiresAt > now,
            )
            .slice(0, count)
            .map(({ record, order }) => ({ record: { ...record }, order })),
        ),
      push: (id, message, most) =>
        step((now) => {
          const queued = this.queue(id, now)?.messages ?? [];
          if (queued.length >= most) return false;
          this.enqueue(id, [...queued, message], now, retention.maxAgeMs);
          return true;
        }),
      putBack: (id, messages) =>
        step((now) => {
          const queued = this.queue(id, now)?.messages ?? [];
          this.enqueue(id, [...messages, ...queued], now, retention.maxAgeMs);
        }),
      pop: (id, sessionId) => step((now) => this.queueFor(sessionId, id, now)?.messages.shift()),
      popAll: (id, sessionId) =>
        step((now) => this.queueFor(sessionId, id, now)?.messages.splice(0) ?? []),
    };
  }

  private create(task: NewTask, most: number, nodeId: string, now: number): 'created' | 'full' {
    this.clearExpired(now);
    const ofSession = [...this.tasks.values()].filter(
      ({ record }) => record.sessionId === task.sessionId,
    );
    if (ofSession.length >= most) return 'full';
    this.order += 1;
    this.tasks.set(task.id, {
      record: {
        ...task,
        status: 'working',
        statusMessage: undefined,
        lastUpdatedAt: task.createdAt,
        executor: nodeId,
      },
      order: this.order,
      result: undefined,
      expiresAt: now + task.ttlMs,
    });
    return 'created';
  }

  private change(change: TaskChange, nodeId: string, now: number): TaskChanged {
    const stored = this.find(change.id, now);
    if (stored === undefined || isAnothers(stored, change.sessionId)) return { status: 'gone' };
    const { record } = stored;
    const { onlyIf, lookedAt } = change;
    const refused =
      onlyIf !== undefined && (onlyIf !== record.executor || isStale(lookedAt, { now }));
    if (isTerminal(record.status) || refused) return { status: 'final', was: record.status };
    record.status = change.status;
    record.lastUpdatedAt = change.at;
    if (change.statusMessage !== undefined) record.statusMessage = change.statusMessage;
    stored.result = change.result ?? stored.result;
    if (!isTerminal(change.status)) {
      record.executor = nodeId;
    } else {
      stored.expiresAt = now + record.ttlMs;
      const queue = this.queues.get(change.id);
      if (queue !== undefined) queue.expiresAt = stored.expiresAt;
    }
    return { status: 'changed' };
  }

  private enqueue(id: string, messages: string[], now: number, keptMs: number): void {
    const expiresAt = this.find(id, now)?.expiresAt ?? now + keptMs;
    this.queues.set(id, { messages, expiresAt });
  }

  private find(id: string, now: number): Stored | undefined {
    const stored = this.tasks.get(id);
    return stored !== undefined && stored.expiresAt > now ? stored : undefined;
  }

  private queue(id: string, now: number) {
    const queue = this.queues.get(id);
    if (queue === undefined || (queue.expiresAt > now && queue.messages.length > 0)) return queue;
    this.queues.delete(id);
    return undefined;
  }

  /** Returns the queue of a task. `undefined` if the task belongs to another session than the caller's. */
  private queueFor(sessionId: string | undefined, id: string, now: number) {
    return isAnothers(this.find(id, now), sessionId) ? undefined : this.queue(id, now);
  }

  private clearExpired(now: number): void {
    for (const [id, { expiresAt }] of this.tasks) if (expiresAt <= now) this.tasks.delete(id);
    for (const [id, { expiresAt }] of this.queues) if (expiresAt <= now) this.queues.delete(id);
  }
}

function copy(record: TaskRecord | undefined): TaskRecord | undefined {
  return record && { ...record };
}

/** True if the task belongs to another session. With `undefined` the caller names no session. */
function isAnothers(stored: Stored | undefined, sessionId: string | undefined): boolean {
  const of = stored?.record.sessionId;
  return of !== undefined && sessionId !== undefined && of !== sessionId;
}
