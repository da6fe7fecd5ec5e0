import type {
  TaskMessageQueue as SdkQueue,
  TaskStore as SdkStore,
} from '@modelcontextprotocol/sdk/experimental/tasks/interfaces.js';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { Task } from '../../src/sdk-stores/index.js';
import { TestNode } from '../contract/suite/rig.js';
import { BACKPLANES, open } from './stores.js';

/*
 * What the SDK asks of its own stores in memory, asked of ours: of two processes that share them, so that each step may
 * be taken in either.
 */

const CALL = { method: 'tools/call', params: { name: 'x' } };
const text = (value: string) => ({ content: [{ type: 'text', text: value }] });
const ENDS = ['completed', 'failed', 'cancelled'] as const;

describe.each(BACKPLANES)('the task store (%s)', (_name, openStore) => {
  function two(more: Parameters<typeof open>[1] = {}) {
    const store = openStore();
    const [a, b] = [open(store(), more), open(store(), more)];
    // As the SDK's own types have them.
    return { a: a.taskStore satisfies SdkStore, b: b.taskStore satisfies SdkStore };
  }
  const create = (
    on: SdkStore,
    more: { ttl?: number; pollInterval?: number } = {},
    session = 's',
  ) => on.createTask(more, 1, CALL, session);

  it('a new task is working, and is found on the other node as it was returned', async () => {
    const { a, b } = two();
    const task = await create(a, { ttl: 60_000, pollInterval: 250 });
    expect(task).toMatchObject({ status: 'working', ttl: 60_000, pollInterval: 250 });
    expect(task.taskId).toMatch(/^[0-9a-f]{32}$/);
    expect(Math.abs(Date.now() - Date.parse(task.createdAt))).toBeLessThan(5_000);
    expect(task.lastUpdatedAt).toBe(task.createdAt);
    expect(await b.getTask(task.taskId, 's')).toEqual(task);
    expect((await create(a)).taskId).not.toBe(task.taskId);
  });

  it('a task whose ttl is left out, or too long, gets the longest there is', async () => {
    const { a } = two({ tasks: { maxTtlMs: 70_000 } });
    expect(await create(a)).toMatchObject({ ttl: 70_000, pollInterval: 1000 });
    expect(await create(a, { ttl: 80_000 })).toMatchObject({ ttl: 70_000 });
    expect(await a.createTask({ ttl: null }, 1, CALL)).toMatchObject({ ttl: 70_000 });
  });

  it('what is not there is null, or an error', async () => {
    const { a } = two();
    for (const id of ['nope', '', 'with space', '{x}', '../', 'x'.repeat(5000)]) {
      expect(await a.getTask(id)).toBeNull();
      await expect(a.getTaskResult(id)).rejects.toThrow(`Task with ID ${id} not found`);
      await expect(a.updateTaskStatus(id, 'working')).rejects.toThrow('not found');
      await expect(a.storeTaskResult(id, 'completed', {})).rejects.toThrow('not found');
    }
  });

  it.each(['working', 'input_required'] as const)(
    'a task that is %s may become anything',
    async (from) => {
      const { a, b } = two();
      for (const to of ['working', 'input_required', ...ENDS] as const) {
        const { taskId } = await create(a);
        await b.updateTaskStatus(taskId, from, undefined, 's');
        await a.updateTaskStatus(taskId, to, 'because', 's');
        expect(await b.getTask(taskId, 's')).toMatchObject({
          status: to,
          statusMessage: 'because',
        });
      }
    },
  );

  it.each(ENDS)('a task that has %s stays so', async (end) => {
    const { a, b } = two();
    const { taskId } = await create(a);
    await a.updateTaskStatus(taskId, end, undefined, 's');
    for (const to of ['working', 'input_required', ...ENDS] as const) {
      await expect(b.updateTaskStatus(taskId, to, undefined, 's')).rejects.toThrow(
        `Cannot update task ${taskId} from terminal status '${end}' to '${to}'`,
      );
    }
    await expect(b.storeTaskResult(taskId, 'completed', text('late'), 's')).rejects.toThrow(
      `Cannot store result for task ${taskId} in terminal status '${end}'`,
    );
    expect(await a.getTask(taskId, 's')).toMatchObject({ status: end });
    await expect(a.getTaskResult(taskId, 's')).rejects.toThrow('has no result stored');
  });

  it.each(['completed', 'failed'] as const)(
    'a result is stored once, with the status %s',
    async (end) => {
      const { a, b } = two();
      for (const before of ['working', 'input_required'] as const) {
        const { taskId } = await create(a);
        await a.updateTaskStatus(taskId, before, undefined, 's');
        await expect(b.getTaskResult(taskId, 's')).rejects.toThrow('has no result stored');
        await a.storeTaskResult(taskId, end, text('first'), 's');
        await expect(b.storeTaskResult(taskId, 'completed', text('second'), 's')).rejects.toThrow();
        expect(await b.getTaskResult(taskId, 's')).toEqual(text('first'));
        expect(await b.getTask(taskId, 's')).toMatchObject({ status: end });
      }
    },
  );

  it('of many that end a task at once, on both nodes, one does', async () => {
    const { a, b } = two();
    for (let round = 0; round < 10; round += 1) {
      const { taskId } = await create(a);
      const tries = Array.from({ length: 10 }, async (_, at) => {
        const on = at % 2 === 0 ? a : b;
        if (at % 3 === 0) await on.updateTaskStatus(taskId, 'cancelled', undefined, 's');
        else await on.storeTaskResult(taskId, 'completed', text(String(at)), 's');
        return at;
      });
      const done = (await Promise.allSettled(tries)).flatMap((outcome) =>
        outcome.status === 'fulfilled' ? [outcome.value] : [],
      );
      expect(done).toHaveLength(1);
      const [winner = -1] = done;
      const cancelled = winner % 3 === 0;
      expect((await b.getTask(taskId, 's'))?.status).toBe(cancelled ? 'cancelled' : 'completed');
      if (!cancelled) {
        expect(await a.getTaskResult(taskId, 's')).toEqual(text(String(winner)));
      }
    }
  });

  it('a task goes after its ttl, whatever its status, and has it anew from its end', async () => {
    const { a, b } = two();
    const ttl = 1_200;
    const [working, ended] = [await create(a, { ttl }), await create(a, { ttl })];
    await sleep(ttl / 2);
    await a.storeTaskResult(ended.taskId, 'completed', text('x'), 's');
    await expect.poll(() => b.getTask(working.taskId, 's')).toBeNull();
    expect(await b.getTask(ended.taskId, 's')).not.toBeNull();
    await expect.poll(() => b.getTask(ended.taskId, 's')).toBeNull();
    expect((await b.listTasks(undefined, 's')).tasks).toEqual([]);
  });

  it('tasks are listed in the order of their creation, ten at a time', async () => {
    const { a, b } = two();
    expect(await a.listTasks(undefined, 's')).toEqual({ tasks: [] });
    const ids: string[] = [];
    for (let at = 0; at < 25; at += 1) ids.push((await create(at % 2 === 0 ? a : b)).taskId);
    const [seen, sizes]: [string[], number[]] = [[], []];
    for (let cursor: string | undefined, more = true; more; more = cursor !== undefined) {
      const page: { tasks: { taskId: string }[]; nextCursor?: string } = await b.listTasks(
        cursor,
        's',
      );
      sizes.push(page.tasks.length);
      seen.push(...page.tasks.map(({ taskId }) => taskId));
      cursor = page.nextCursor;
    }
    expect(sizes).toEqual([10, 10, 5]);
    expect(seen).toEqual(ids);
  });

  it('a page that is exactly full has no next one', async () => {
    const { a } = two();
    for (let at = 0; at < 10; at += 1) await create(a);
    expect((await a.listTasks(undefined, 's')).nextCursor).toBeUndefined();
  });

  it('a cursor outlives the task that it was made at', async () => {
    const { a } = two();
    for (let at = 0; at < 9; at += 1) await create(a);
    await create(a, { ttl: 1_000 });
    const last = await create(a);
    const { nextCursor } = await a.listTasks(undefined, 's');
    await sleep(1_100);
    expect((await a.listTasks(nextCursor, 's')).tasks).toEqual([last]);
  });

  it('a cursor that is none is refused', async () => {
    const { a } = two();
    for (const cursor of [
      'nope',
      '-1',
      '1',
      '1.',
      '1.2.3',
      '1e3.0',
      '',
      '+inf',
      '1 2',
      '9'.repeat(40),
    ]) {
      await expect(a.listTasks(cursor, 's')).rejects.toThrow(`Invalid cursor: ${cursor}`);
    }
  });

  it('another session neither finds a task, nor lists it, nor changes it', async () => {
    const { a, b } = two();
    const { taskId } = await create(a, {}, 'one');
    expect(await b.getTask(taskId, 'two')).toBeNull();
    expect((await b.listTasks(undefined, 'two')).tasks).toEqual([]);
    await expect(b.getTaskResult(taskId, 'two')).rejects.toThrow('not found');
    await expect(b.updateTaskStatus(taskId, 'cancelled', undefined, 'two')).rejects.toThrow(
      'not found',
    );
    await expect(b.storeTaskResult(taskId, 'completed', {}, 'two')).rejects.toThrow('not found');
    expect(await a.getTask(taskId, 'one')).toMatchObject({ status: 'working' });
    // The server's own code may know it by its id alone.
    expect(await b.getTask(taskId)).toMatchObject({ status: 'working' });
  });

  it('a task of no session is found by whoever knows it, and listed in every session', async () => {
    const { a, b } = two();
    const { taskId } = await a.createTask({}, 1, CALL);
    const own = await create(a, {}, 'one');
    expect(await b.getTask(taskId, 'one')).toMatchObject({ status: 'working' });
    const listed = async (session?: string) =>
      (await b.listTasks(undefined, session)).tasks.map((task) => task.taskId);
    expect(await listed('one')).toEqual([taskId, own.taskId]);
    expect(await listed('two')).toEqual([taskId]);
    // Without a session none of another one's is told.
    expect(await listed()).toEqual([taskId]);
  });

  it('those of a session and those of none are listed together, in order, each once', async () => {
    const { a, b } = two();
    const ids: string[] = [];
    // Runs of both that are longer and shorter than a page.
    for (const [session, count] of [
      ['s', 1],
      [undefined, 12],
      ['s', 13],
      [undefined, 1],
      ['s', 2],
    ] as const) {
      for (let at = 0; at < count; at += 1) {
        const task = await (at % 2 === 0 ? a : b).createTask({}, 1, CALL, session);
        ids.push(task.taskId);
      }
      await create(a, {}, 'another');
    }
    const [seen, sizes]: [string[], number[]] = [[], []];
    for (let cursor: string | undefined, more = true; more; more = cursor !== undefined) {
      const page = await b.listTasks(cursor, 's');
      sizes.push(page.tasks.length);
      seen.push(...page.tasks.map(({ taskId }) => taskId));
      cursor = page.nextCursor;
    }
    expect(sizes).toEqual([10, 10, 9]);
    expect(seen).toEqual(ids);
  });

  it('a session may have so many tasks, of which those that are gone do not count', async () => {
    const { a, b } = two({ tasks: { maxPerSession: 3 } });
    for (let at = 0; at < 2; at += 1) await create(a);
    await create(b, { ttl: 1_000 });
    await expect(create(b)).rejects.toThrow('has 3 tasks already');
    await create(a, {}, 'other');
    await sleep(1_100);
    await create(b);
    await expect(create(a)).rejects.toThrow('has 3 tasks already');
  });

  // One that was listed and not stored yet was taken for gone: there was one too many, and it was never found again.
  it('of many that are created at once, on both nodes, a session gets so many, and all are listed', async () => {
    const { a, b } = two({ tasks: { maxPerSession: 5 } });
    for (let round = 0; round < 5; round += 1) {
      const session = `s${round}`;
      const tried = await Promise.allSettled(
        Array.from({ length: 20 }, (_, at) => create(at % 2 === 0 ? a : b, {}, session)),
      );
      const ids = tried.flatMap((each) => (each.status === 'fulfilled' ? [each.value.taskId] : []));
      const { tasks } = await b.listTasks(undefined, session);
      expect(tasks.map(({ taskId }) => taskId).sort()).toEqual(ids.sort());
      expect(ids).toHaveLength(5);
    }
  });

  it('a task whose node has left has failed, at the second look', async () => {
    const store = openStore();
    const [a, b] = [open(store(), { leaseMs: 600 }), open(store(), { leaseMs: 600 })];
    const { taskId } = await create(a.taskStore);
    const other = await a.taskStore.createTask({}, 1, { method: 'sampling/createMessage' }, 's');
    await a.close();
    expect(await b.taskStore.getTask(taskId, 's')).toMatchObject({ status: 'working' });
    await sleep(1000);
    for (const id of [taskId, other.taskId]) {
      const task = await b.taskStore.getTask(id, 's');
      expect(task).toMatchObject({ status: 'failed' });
      expect(task?.statusMessage).toContain('is gone');
    }
    expect(await b.taskStore.getTaskResult(taskId, 's')).toMatchObject({ isError: true });
    await expect(b.taskStore.getTaskResult(other.taskId, 's')).rejects.toThrow('no result');
  });

  it('the node that gave a task its last status is the one that works on it', async () => {
    const store = openStore();
    const [a, b] = [open(store(), { leaseMs: 1_500 }), open(store(), { leaseMs: 1_500 })];
    const { taskId } = await create(a.taskStore);
    await b.taskStore.updateTaskStatus(taskId, 'working', 'taken over', 's');
    await a.close();
    const c = open(store(), { leaseMs: 1_500 });
    for (let at = 0; at < 3; at += 1) {
      expect(await c.taskStore.getTask(taskId, 's')).toMatchObject({ status: 'working' });
      await sleep(500);
    }
  });

  it('a task that is worked on elsewhere is kept, where the options say so', async () => {
    const store = openStore();
    const options = { leaseMs: 600, tasks: { orphans: 'keep' } } as const;
    const [a, b] = [open(store(), options), open(store(), options)];
    const { taskId } = await create(a.taskStore);
    await a.close();
    for (let at = 0; at < 3; at += 1) {
      expect(await b.taskStore.getTask(taskId, 's')).toMatchObject({ status: 'working' });
      await sleep(500);
    }
  });
});

describe.each(BACKPLANES)('the queue of a task (%s)', (_name, openStore) => {
  function two(more: Parameters<typeof open>[1] = {}) {
    const store = openStore();
    const [a, b] = [open(store(), more), open(store(), more)];
    return { a: a.taskMessageQueue satisfies SdkQueue, b: b.taskMessageQueue satisfies SdkQueue };
  }
  type Queued = Parameters<SdkQueue['enqueue']>[1];
  const note = (at: number): Queued => ({
    ...{ type: 'notification', timestamp: at },
    message: { jsonrpc: '2.0', method: 'notifications/x', params: { at } },
  });

  // A question to one client was taken out by another one that named its task, and the one waited in vain.
  it('another session takes nothing out of the queue of a task', async () => {
    const store = openStore();
    const [a, b] = [open(store()), open(store())];
    const { taskId } = await a.taskStore.createTask({}, 1, CALL, 'one');
    await a.taskMessageQueue.enqueue(taskId, note(1), 'one');
    expect(await b.taskMessageQueue.dequeue(taskId, 'two')).toBeUndefined();
    expect(await b.taskMessageQueue.dequeueAll(taskId, 'two')).toEqual([]);
    expect(await b.taskMessageQueue.dequeue(taskId, 'one')).toEqual(note(1));
  });

  it('gives each kind of message back as it was, on either node, first in first out', async () => {
    const { a, b } = two();
    const request: Queued = {
      ...{ type: 'request', timestamp: 1 },
      message: { jsonrpc: '2.0', id: 1, method: 'tools/call', params: {} },
    };
    const others: Queued[] = [
      note(2),
      { type: 'response', timestamp: 3, message: { jsonrpc: '2.0', id: 1, result: { a: 1 } } },
      {
        ...{ type: 'error', timestamp: 4 },
        message: { jsonrpc: '2.0', id: 2, error: { code: -32600, message: 'no', data: { x: 1 } } },
      },
    ];
    for (const message of [request, ...others]) await a.enqueue('t', message);
    expect(await a.dequeue('t')).toEqual(request);
    for (const message of others) expect(await b.dequeue('t')).toEqual(message);
    expect(await b.dequeue('t')).toBeUndefined();
    expect(await b.dequeue('never')).toBeUndefined();
    expect(await b.dequeueAll('never')).toEqual([]);
  });

  it('a request of another node has an id that no server of this one waits for', async () => {
    const { a, b } = two();
    const message: Queued = {
      ...{ type: 'request', timestamp: 1 },
      message: { jsonrpc: '2.0', id: 0, method: 'elicitation/create', params: {} },
    };
    await a.enqueue('t', message);
    const taken = await b.dequeue('t');
    expect(Number((taken?.message as { id: unknown }).id)).toBeNaN();
  });

  it('gives all at once, and is empty then', async () => {
    const { a, b } = two();
    for (let at = 0; at < 5; at += 1) await a.enqueue('t', note(at), 's');
    expect(await b.dequeueAll('t', 's')).toEqual([0, 1, 2, 3, 4].map(note));
    expect(await a.dequeue('t', 's')).toBeUndefined();
    expect(await a.dequeueAll('t', 's')).toEqual([]);
  });

  it('takes no more than its size, and what is over not at all', async () => {
    const { a, b } = two();
    for (let at = 0; at < 2; at += 1) await a.enqueue('t', note(at), 's', 2);
    await expect(b.enqueue('t', note(2), 's', 2)).rejects.toThrow(/overflow/);
    expect(await a.dequeue('t')).toEqual(note(0));
    await b.enqueue('t', note(3), 's', 2);
    expect(await a.dequeueAll('t')).toEqual([note(1), note(3)]);
  });

  it('many that put in and take out at once: each message comes once', async () => {
    const { a, b } = two();
    const put = Array.from({ length: 60 }, (_, at) =>
      (at % 2 === 0 ? a : b).enqueue('t', note(at)),
    );
    await Promise.all(put);
    const taken = await Promise.all(
      Array.from({ length: 80 }, (_, at) => (at % 2 === 0 ? a : b).dequeue('t')),
    );
    const times = taken.flatMap((message) => message?.timestamp ?? []);
    expect(times.sort((x, y) => x - y)).toEqual(Array.from({ length: 60 }, (_, at) => at));
  });

  // A failover undid that a message was taken out, while the node that had it was storing it for the client. The node took
  // the message once more, and the client was asked twice.
  it('gives a message that a failover has put back to another node only, and what is behind it to each', async () => {
    const store = openStore();
    const [a, b] = [open(store()), open(store())];
    for (const at of [1, 2]) await b.taskMessageQueue.enqueue('t', note(at));
    const node = new TestNode(store());
    onTestFinished(() => node.membership.leave());
    const tasks = node.membership.sdkStores?.tasks;
    if (tasks === undefined) throw new Error('All of these backplanes have tasks');
    const queued = await tasks.popAll('t', undefined);
    const goBack = async (): Promise<void> => {
      await tasks.popAll('t', undefined);
      await tasks.putBack('t', queued);
    };
    await goBack();
    expect(await a.taskMessageQueue.dequeue('t')).toEqual(note(1));
    await goBack();
    expect(await a.taskMessageQueue.dequeue('t')).toEqual(note(2));
    await goBack();
    expect(await a.taskMessageQueue.dequeue('t')).toBeUndefined();
    await goBack();
    expect(await a.taskMessageQueue.dequeueAll('t')).toEqual([]);
    await goBack();
    expect(await b.taskMessageQueue.dequeueAll('t')).toEqual([note(1), note(2)]);
  });

  it('is its own task’s', async () => {
    const { a, b } = two();
    await a.enqueue('one', note(1));
    await a.enqueue('two', note(2));
    expect(await b.dequeue('two')).toEqual(note(2));
    expect(await b.dequeueAll('one')).toEqual([note(1)]);
  });

  it('has a bound of its own where the server sets none', async () => {
    const { a } = two({ retention: { maxEvents: 3 } });
    for (let at = 0; at < 3; at += 1) await a.enqueue('t', note(at));
    await expect(a.enqueue('t', note(3))).rejects.toThrow(/overflow/);
  });
});

describe.each(BACKPLANES)('waiting for a task (%s)', (_name, openStore) => {
  /** What the SDK's `tasks/result` does between two looks. */
  async function tasksResultSleeps(
    on: { taskStore: SdkStore; taskMessageQueue: SdkQueue },
    taskId: string,
  ): Promise<{ ms: number; found: unknown }> {
    const began = performance.now();
    for (;;) {
      const message = await on.taskMessageQueue.dequeue(taskId, 's');
      if (message !== undefined) return { ms: performance.now() - began, found: message };
      const task = await on.taskStore.getTask(taskId, 's');
      if (task === null || ['completed', 'failed', 'cancelled'].includes(task.status)) {
        return { ms: performance.now() - began, found: task };
      }
      const { pollInterval } = (await on.taskStore.getTask(taskId, 's')) as Task;
      await sleep(pollInterval);
    }
  }

  it('a result, a cancellation or a message of another node ends it at once', async () => {
    const store = openStore();
    // A third of that is how often one looks whether who works on it lives, and at the task.
    const options = { leaseMs: 60_000 };
    const [a, b] = [open(store(), options), open(store(), options)];
    const steps: ((id: string) => Promise<void>)[] = [
      (id) => a.taskStore.storeTaskResult(id, 'completed', text('x'), 's'),
      (id) => a.taskStore.updateTaskStatus(id, 'cancelled', undefined, 's'),
      (id) =>
        a.taskMessageQueue.enqueue(id, {
          ...{ type: 'notification', timestamp: 0 },
          message: { jsonrpc: '2.0', method: 'notifications/x' },
        }),
    ];
    for (const step of steps) {
      const { taskId } = await a.taskStore.createTask({ pollInterval: 20_000 }, 1, CALL, 's');
      const waits = [tasksResultSleeps(b, taskId), tasksResultSleeps(a, taskId)];
      await sleep(300);
      const began = performance.now();
      await step(taskId);
      await Promise.any(waits);
      expect(performance.now() - began).toBeLessThan(10_000);
      // A message is taken by one of the two.
      if (step === steps[2])
        await a.taskStore.updateTaskStatus(taskId, 'cancelled', undefined, 's');
      await Promise.all(waits);
      expect(performance.now() - began).toBeLessThan(10_000);
    }
  });

  it('asking for the status never waits', async () => {
    const store = openStore();
    const [a, b] = [open(store()), open(store())];
    const { taskId } = await a.taskStore.createTask({ pollInterval: 20_000 }, 1, CALL, 's');
    const waiting = tasksResultSleeps(b, taskId);
    const began = performance.now();
    for (let at = 0; at < 20; at += 1) {
      expect(await b.taskStore.getTask(taskId, 's')).toMatchObject({ pollInterval: 20_000 });
      await sleep(5);
    }
    expect(performance.now() - began).toBeLessThan(10_000);
    await a.taskStore.updateTaskStatus(taskId, 'cancelled', undefined, 's');
    await waiting;
  });

  it('the twin: one that looks in another order polls, as it would with the store of the SDK', async () => {
    const store = openStore();
    const [a, b] = [open(store()), open(store())];
    const { taskId } = await a.taskStore.createTask({ pollInterval: 20_000 }, 1, CALL, 's');
    await b.taskMessageQueue.dequeue(taskId, 's');
    await sleep(1); // a turn of the event loop: what comes now is somebody else's
    const began = performance.now();
    await b.taskStore.getTask(taskId, 's');
    await b.taskStore.getTask(taskId, 's');
    expect(performance.now() - began).toBeLessThan(10_000);
  });
});
