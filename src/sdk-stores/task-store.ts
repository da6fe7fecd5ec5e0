import { randomBytes } from 'node:crypto';
import type { TaskChange, TaskRecord, Tasks } from '../backplane/sdk-store-access.js';
import { isTerminal } from '../backplane/sdk-store-access.js';
import { AnynodeError } from '../protocol/errors.js';
import type { Clock } from '../protocol/timing/clock.js';
import type { NodeWatch } from '../stream/node-watch.js';
import type { Task, TaskStore } from './store-types.js';
import { pageOf } from './task-pages.js';

export interface TaskStoreParts {
  tasks: () => Tasks;
  watch: NodeWatch;
  /** The time of the clock that dates the steps of a task. See `BackplaneClock.timeOf`. */
  timeOf: (taskId: string) => Promise<number>;
  clock: Clock;
  nodeId: string;
  maxTtlMs: number;
  maxPerSession: number;
  failOrphans: boolean;
  /** Keeps the session's server object while this node works on a task, until the returned function is called. */
  hold: (sessionId: string) => () => void;
}

/**
 * The `pollInterval` of a task whose server gives none. The SDK's `tasks/result` looks at the task and its queue at this
 * interval, with four commands to Redis, and clients send `tasks/get` at it. Half of the SDK's 1,000 ms delivers a result or a
 * question 250 ms after it is there, on average. A shorter interval would cost Redis more, and people would hardly notice it.
 */
const POLL_INTERVAL_MS = 500;
/** The longest timer of Node. Node fires a longer one after 1 ms, so the SDK would poll without a pause. */
const MAX_TIMER_MS = 2_147_483_647;

export function taskStore(parts: TaskStoreParts): TaskStore & { close(): void } {
  const { tasks, watch, clock } = parts;
  const held = new Map<string, () => void>();
  const timeOf = async (taskId: string): Promise<string> =>
    new Date(await parts.timeOf(taskId)).toISOString();
  const letGo = (taskId: string): void => held.get(taskId)?.();

  /**
   * Keeps the server object of a session while this node works on a task. The server may have to send messages or ask the
   * client.
   */
  const hold = (taskId: string, sessionId: string, ttlMs: number): void => {
    const release = parts.hold(sessionId);
    const cancelTimer = clock.after(ttlMs, () => letGo(taskId));
    held.set(taskId, () => {
      held.delete(taskId);
      cancelTimer();
      release();
    });
  };

  const find = async (taskId: string, sessionId: string | undefined) => {
    const record = await tasks().get(taskId);
    return record === undefined || isOthers(record, sessionId) ? undefined : record;
  };

  /** Returns the record, after marking the task as failed if its node is dead. */
  const current = async (taskId: string, sessionId: string | undefined) => {
    const record = await find(taskId, sessionId);
    if (record === undefined || isTerminal(record.status)) letGo(taskId);
    if (!parts.failOrphans || record === undefined || isTerminal(record.status)) return record;
    const { executor, method } = record;
    if (executor === parts.nodeId || (await watch.isAlive(executor))) return record;
    const lookedAt = await watch.momentSeenDead(taskId, executor);
    if (lookedAt === undefined) return record;
    const statusMessage = 'The node that worked on this task is gone, and its work with it.';
    await tasks().change({
      ...{ id: taskId, sessionId, status: 'failed', statusMessage, at: await timeOf(taskId) },
      ...{ onlyIf: executor, lookedAt },
      result:
        method === 'tools/call'
          ? JSON.stringify({ content: [{ type: 'text', text: statusMessage }], isError: true })
          : undefined,
    });
    // Another node may have been faster, or the task may have another node by now.
    return find(taskId, sessionId);
  };

  const change = async (
    given: Omit<TaskChange, 'at'>,
    refusal: (was: Task['status']) => string,
  ): Promise<void> => {
    const changed = await tasks().change({ ...given, at: await timeOf(given.id) });
    if (changed.status !== 'changed' || isTerminal(given.status)) letGo(given.id);
    if (changed.status === 'gone') throw new Error(`Task with ID ${given.id} not found`);
    if (changed.status === 'final') throw new Error(refusal(changed.was));
  };

  return {
    async createTask(params, _requestId, { method }, sessionId) {
      const { maxTtlMs, maxPerSession } = parts;
      const id = randomBytes(16).toString('hex');
      const record = {
        id,
        sessionId,
        ttlMs: Math.max(1, Math.floor(Math.min(params.ttl ?? maxTtlMs, maxTtlMs))),
        createdAt: await timeOf(id),
        pollIntervalMs: Math.min(params.pollInterval ?? POLL_INTERVAL_MS, MAX_TIMER_MS),
        method,
      };
      if ((await tasks().create(record, maxPerSession)) === 'full') {
        throw new Error(`This session has ${maxPerSession} tasks already`);
      }
      if (sessionId !== undefined) hold(record.id, sessionId, record.ttlMs);
      const { createdAt: lastUpdatedAt } = record;
      return shown({ ...record, status: 'working', statusMessage: undefined, lastUpdatedAt });
    },

    async getTask(taskId, sessionId) {
      // The SDK asks this for a task that has just ended, and then tells the client. Its server object is needed until then.
      const release = sessionId === undefined ? undefined : parts.hold(sessionId);
      try {
        const record = await current(taskId, sessionId);
        return record === undefined ? null : shown(record);
      } finally {
        release?.();
      }
    },

    async storeTaskResult(taskId, status, result, sessionId) {
      const text = JSON.stringify(result);
      await change(
        { id: taskId, sessionId, status, statusMessage: undefined, result: text },
        (was) =>
          `Cannot store result for task ${taskId} in terminal status '${was}'. Task results can only be stored once.`,
      );
    },

    async getTaskResult(taskId, sessionId) {
      const found = await tasks().result(taskId);
      if (found === undefined || isOthers(found.record, sessionId)) {
        throw new Error(`Task with ID ${taskId} not found`);
      }
      if (found.unreadable === true) {
        const text = `The result of task ${taskId} cannot be decoded here`;
        throw new AnynodeError('undecodable', text);
      }
      if (found.result === undefined) throw new Error(`Task ${taskId} has no result stored`);
      return JSON.parse(found.result) as { [key: string]: unknown };
    },

    async updateTaskStatus(taskId, status, statusMessage, sessionId) {
      await change(
        { id: taskId, sessionId, status, statusMessage, result: undefined },
        (was) =>
          `Cannot update task ${taskId} from terminal status '${was}' to '${status}'. Terminal states (completed, failed, cancelled) cannot transition to other states.`,
      );
    },

    async listTasks(cursor, sessionId) {
      const { records, nextCursor } = await pageOf(tasks(), cursor, sessionId);
      return { tasks: records.map(shown), ...(nextCursor !== undefined && { nextCursor }) };
    },

    close() {
      for (const taskId of [...held.keys()]) letGo(taskId);
    },
  };
}

/**
 * True if a task belongs to another session. All callers that know its id may use a task of no session. A caller without a
 * session may use all tasks.
 */
function isOthers(record: TaskRecord, sessionId: string | undefined): boolean {
  const of = record.sessionId;
  return of !== undefined && sessionId !== undefined && of !== sessionId;
}

function shown(record: Omit<TaskRecord, 'executor' | 'method' | 'sessionId'>): Task {
  return {
    taskId: record.id,
    status: record.status,
    ...(record.statusMessage !== undefined && { statusMessage: record.statusMessage }),
    ttl: record.ttlMs,
    createdAt: record.createdAt,
    lastUpdatedAt: record.lastUpdatedAt,
    pollInterval: record.pollIntervalMs,
  };
}
