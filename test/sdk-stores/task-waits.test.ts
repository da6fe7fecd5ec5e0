/** How the SDK's `tasks/result` is woken by what happens to a task on another node. */
import type {
  TaskMessageQueue as SdkQueue,
  TaskStore as SdkStore,
} from '@modelcontextprotocol/sdk/experimental/tasks/interfaces.js';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { Task } from '../../src/sdk-stores/index.js';
import { BACKPLANES, open } from './stores.js';

const CALL = { method: 'tools/call', params: { name: 'x' } };
const text = (value: string) => ({ content: [{ type: 'text', text: value }] });

describe.each(BACKPLANES)('waiting for a task (%s)', (_name, openStore) => {
  /** Does what the SDK's `tasks/result` does between two looks. */
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

  it('ends at once with a result, a cancellation or a message on another node', async () => {
    const store = openStore();
    // The store checks three times in this interval whether the node of the task lives, and looks at the task.
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
      // One of the two takes the message.
      if (step === steps[2])
        await a.taskStore.updateTaskStatus(taskId, 'cancelled', undefined, 's');
      await Promise.all(waits);
      expect(performance.now() - began).toBeLessThan(10_000);
    }
  });

  it('does not happen when the status is asked for', async () => {
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

  it('the twin: a reader that asks in another order polls, as with the store of the SDK', async () => {
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
