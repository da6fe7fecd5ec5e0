/** What the SDK expects of its own task queue, tested with two nodes that share the queue of this package. */
import type { TaskMessageQueue as SdkQueue } from '@modelcontextprotocol/sdk/experimental/tasks/interfaces.js';
import { describe, expect, it, onTestFinished } from 'vitest';
import { TestNode } from '../contract/suite/rig.js';
import { BACKPLANES, open } from './stores.js';

const CALL = { method: 'tools/call', params: { name: 'x' } };

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

  // Bug: another client that named the task took a question out of the queue, and the client that was asked waited in
  // vain.
  it('gives nothing to another session', async () => {
    const store = openStore();
    const [a, b] = [open(store()), open(store())];
    const { taskId } = await a.taskStore.createTask({}, 1, CALL, 'one');
    await a.taskMessageQueue.enqueue(taskId, note(1), 'one');
    expect(await b.taskMessageQueue.dequeue(taskId, 'two')).toBeUndefined();
    expect(await b.taskMessageQueue.dequeueAll(taskId, 'two')).toEqual([]);
    expect(await b.taskMessageQueue.dequeue(taskId, 'one')).toEqual(note(1));
  });

  it('returns each kind of message unchanged on either node, first in first out', async () => {
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

  it('gives a request of another node an id that no server of this node waits for', async () => {
    const { a, b } = two();
    const message: Queued = {
      ...{ type: 'request', timestamp: 1 },
      message: { jsonrpc: '2.0', id: 0, method: 'elicitation/create', params: {} },
    };
    await a.enqueue('t', message);
    const taken = await b.dequeue('t');
    expect(Number((taken?.message as { id: unknown }).id)).toBeNaN();
  });

  it('returns all messages at once, and is empty then', async () => {
    const { a, b } = two();
    for (let at = 0; at < 5; at += 1) await a.enqueue('t', note(at), 's');
    expect(await b.dequeueAll('t', 's')).toEqual([0, 1, 2, 3, 4].map(note));
    expect(await a.dequeue('t', 's')).toBeUndefined();
    expect(await a.dequeueAll('t', 's')).toEqual([]);
  });

  it('takes no more than its size, and nothing of what is above', async () => {
    const { a, b } = two();
    for (let at = 0; at < 2; at += 1) await a.enqueue('t', note(at), 's', 2);
    await expect(b.enqueue('t', note(2), 's', 2)).rejects.toThrow(/overflow/);
    expect(await a.dequeue('t')).toEqual(note(0));
    await b.enqueue('t', note(3), 's', 2);
    expect(await a.dequeueAll('t')).toEqual([note(1), note(3)]);
  });

  it('returns each message once when many are put in and taken out at once', async () => {
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

  // Bug: a failover undid that a message was taken out, while its node was storing it for the client. The node took it
  // once more, and the client was asked twice.
  it('returns a message that a failover has put back to another node only, and later ones to each', async () => {
    const store = openStore();
    const [a, b] = [open(store()), open(store())];
    for (const at of [1, 2]) await b.taskMessageQueue.enqueue('t', note(at));
    const node = new TestNode(store());
    onTestFinished(() => node.backplane.leave());
    const tasks = node.backplane.sdkStores?.tasks;
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

  it('is separate for each task', async () => {
    const { a, b } = two();
    await a.enqueue('one', note(1));
    await a.enqueue('two', note(2));
    expect(await b.dequeue('two')).toEqual(note(2));
    expect(await b.dequeueAll('one')).toEqual([note(1)]);
  });

  it('has a limit of its own if the server sets none', async () => {
    const { a } = two({ retention: { maxEvents: 3 } });
    for (let at = 0; at < 3; at += 1) await a.enqueue('t', note(at));
    await expect(a.enqueue('t', note(3))).rejects.toThrow(/overflow/);
  });
});
