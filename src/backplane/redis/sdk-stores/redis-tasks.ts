import type {
  ListedTask,
  NewTask,
  TaskChange,
  TaskChanged,
  TaskRecord,
  Tasks,
  TaskStatus,
} from '../../sdk-store-access.js';
import { isTerminal } from '../../sdk-store-access.js';
import type { CommandConnection } from '../connection/redis-connection.js';
import { hashTag } from '../hash-tag.js';

export interface RedisTasksOptions {
  connection: CommandConnection;
  nodeId: string;
  prefix: string;
  commandTimeoutMs: number;
  /** How long a queue without a task is kept. */
  keptMs: number;
}

const FIELDS = ['s', 'st', 'msg', 'ttl', 'at', 'up', 'poll', 'x', 'm', 'seal'] as const;

/** The tasks of the SDK. Each has a hash and a list in one slot. The list of a session's tasks is in another slot. */
export class RedisTasks implements Tasks {
  private count = 0;

  constructor(private readonly options: RedisTasksOptions) {}

  async create(task: NewTask, most: number): Promise<'created' | 'full'> {
    // Store the task before it is listed. If it were listed first, a node that makes room in a full list would take the
    // missing task for gone and drop its entry. A stored task that is not listed is unknown until this returns, and expires
    // by itself.
    const { connection, nodeId } = this.options;
    await connection.run((client) =>
      client['anynode:sdk-stores/task-create'](
        ...[this.key(task.id), task.ttlMs],
        ...['s', task.sessionId ?? '', 'st', 'working', 'ttl', task.ttlMs, 'at', task.createdAt],
        ...['up', task.createdAt, 'poll', task.pollIntervalMs, 'x', nodeId, 'm', task.method],
        ...(task.seal === undefined ? [] : ['seal', task.seal]),
      ),
    );
    if (!(await this.enter(task, most))) {
      await connection.run((client) => client.del(this.key(task.id)));
      return 'full';
    }
    return 'created';
  }

  private async enter({ id, sessionId, ttlMs }: NewTask, most: number): Promise<boolean> {
    const list = this.listOf(sessionId);
    const { connection } = this.options;
    for (;;) {
      // A task may exist for its `ttl`, then end, and stay for that time again.
      const [outcome, ids = []] = (await connection.run((client) =>
        client['anynode:sdk-stores/task-enter'](list, id, most, 2 * ttlMs),
      )) as ['entered'] | ['full', string[]];
      if (outcome === 'entered') return true;
      const gone = await connection.run(async (client) => {
        const there = await Promise.all(ids.map((other) => client.exists(this.key(other))));
        const ended = ids.filter((_, at) => there[at] === 0);
        if (ended.length > 0) await client.zrem(list, ...ended);
        return ended.length;
      });
      if (gone === 0) return false;
    }
  }

  async get(id: string): Promise<TaskRecord | undefined> {
    const values = await this.options.connection.run((client) =>
      client.hmget(this.key(id), ...FIELDS),
    );
    return recordOf(id, values);
  }

  async result(
    id: string,
  ): Promise<{ record: TaskRecord; result: string | undefined } | undefined> {
    const values = await this.options.connection.run((client) =>
      client.hmget(this.key(id), ...FIELDS, 'r'),
    );
    const record = recordOf(id, values);
    return record && { record, result: values[FIELDS.length] ?? undefined };
  }

  async change(change: TaskChange): Promise<TaskChanged> {
    const { id, sessionId, status, statusMessage, result, at, onlyIf, lookedAt } = change;
    const { nodeId, connection } = this.options;
    const token = this.token();
    const [outcome, was] = (await connection.run((client) =>
      client['anynode:sdk-stores/task-change'](
        ...[this.key(id), this.queue(id), nodeId, token],
        ...[sessionId ?? '', onlyIf ?? '', status, isTerminal(status) ? '1' : '', at],
        ...[statusMessage ?? '', result ?? '', lookedAt ?? ''],
      ),
    )) as [TaskChanged['status'], TaskStatus];
    return outcome === 'final' ? { status: outcome, was } : { status: outcome };
  }

  async list(sessionId: string | undefined, after: number, count: number): Promise<ListedTask[]> {
    const list = this.listOf(sessionId);
    return this.options.connection.run(async (client) => {
      const tasks: ListedTask[] = [];
      let from = after;
      for (;;) {
        const page = await client.zrangebyscore(
          ...([list, `(${from}`, '+inf', 'WITHSCORES', 'LIMIT', 0, count] as const),
        );
        const ids = page.filter((_, at) => at % 2 === 0);
        const records = await Promise.all(
          ids.map(async (id) => recordOf(id, await client.hmget(this.key(id), ...FIELDS))),
        );
        const orders = page.filter((_, at) => at % 2 === 1).map(Number);
        const gone = ids.filter((_, at) => records[at] === undefined);
        if (gone.length > 0) await client.zrem(list, ...gone);
        records.forEach((record, at) => {
          from = orders[at] ?? from;
          if (record !== undefined) tasks.push({ record, order: from });
        });
        if (ids.length < count || tasks.length >= count) return tasks.slice(0, count);
      }
    });
  }

  push(id: string, message: string, most: number): Promise<boolean> {
    return this.put(id, message, most);
  }

  async putBack(id: string, messages: string[]): Promise<void> {
    for (const message of messages.toReversed()) await this.put(id, message, undefined);
  }

  /** Adds a message to a queue. Without `most`, puts it in front, whatever the length. */
  private async put(id: string, message: string, most: number | undefined): Promise<boolean> {
    const { connection, keptMs, commandTimeoutMs } = this.options;
    const token = this.token();
    const length = await connection.run((client, attempts) =>
      client['anynode:sdk-stores/task-push'](
        ...[this.key(id), this.queue(id), token, attempts > 0 ? '1' : ''],
        ...[most ?? '', keptMs, message, 2 * commandTimeoutMs],
      ),
    );
    return Number(length) >= 0;
  }

  async pop(id: string, sessionId: string | undefined): Promise<string | undefined> {
    const [message] = await this.take(id, sessionId, false);
    return message;
  }

  /** Takes messages in pieces, so that each step takes Redis only a short time. */
  async popAll(id: string, sessionId: string | undefined): Promise<string[]> {
    const all: string[] = [];
    for (;;) {
      try {
        const piece = await this.take(id, sessionId, true);
        if (piece.length === 0) return all;
        all.push(...piece);
      } catch (error) {
        // The messages taken so far are in no queue any more. Return them, and leave the rest there.
        if (all.length === 0) throw error;
        return all;
      }
    }
  }

  private async take(id: string, sessionId: string | undefined, all: boolean): Promise<string[]> {
    const { connection, commandTimeoutMs } = this.options;
    const token = this.token();
    const messages = await connection.run((client, attempts) =>
      client['anynode:sdk-stores/task-pop'](
        ...[this.key(id), this.queue(id), sessionId ?? '', attempts > 0 ? '1' : ''],
        ...[2 * commandTimeoutMs, all ? '1' : '', token],
      ),
    );
    return messages as string[];
  }

  private token(): string {
    this.count += 1;
    return `${this.options.nodeId}:${this.count}`;
  }

  private key(id: string): string {
    return `${this.options.prefix}:task:${hashTag(id)}`;
  }

  private queue(id: string): string {
    return `${this.key(id)}:queue`;
  }

  private listOf(sessionId: string | undefined): string {
    const { prefix } = this.options;
    return sessionId === undefined ? `${prefix}:tasks` : `${prefix}:tasks:${hashTag(sessionId)}`;
  }
}

function recordOf(id: string, values: (string | null)[]): TaskRecord | undefined {
  const [session, status, message, ttl, at, updated, poll, executor, method, seal] = values;
  if (typeof status !== 'string') return undefined;
  return {
    id,
    sessionId: session === '' ? undefined : (session ?? undefined),
    status: status as TaskStatus,
    statusMessage: message ?? undefined,
    ttlMs: Number(ttl),
    createdAt: at ?? '',
    lastUpdatedAt: updated ?? '',
    pollIntervalMs: Number(poll),
    executor: executor ?? '',
    method: method ?? '',
    ...(typeof seal === 'string' && { seal }),
  };
}
