/** The worst cases of the scripts for the stores of the SDK. */
import { randomUUID } from 'node:crypto';
import type { Scenario, World } from './world.js';

const MB = 1_000_000;

function taskOf(sessionId: string) {
  return {
    ...{ id: randomUUID(), sessionId, ttlMs: 600_000, createdAt: new Date().toISOString() },
    ...{ pollIntervalMs: 1_000, method: 'tools/call' },
  };
}

async function newTask({ a }: World): Promise<string> {
  const task = taskOf(randomUUID());
  await a.sdkStores.tasks.create(task, 10);
  return task.id;
}

export const SDK_STORE_SCENARIOS: readonly Scenario[] = [
  {
    ...{ script: 'sdk-stores/heard', situation: '1,000 broadcasts of 8 kB' },
    prepare: async (world) => {
      const { sdkStores } = world.a;
      for (let at = 0; at < 1_000; at += 1) await sdkStores.broadcasts.publish('y'.repeat(8_000));
      return async () => {
        const stop = world.b.sdkStores.broadcasts.listen({
          onText: () => undefined,
          onGap: () => undefined,
        });
        await new Promise((resolve) => setTimeout(resolve, 300));
        stop();
      };
    },
  },
  {
    ...{
      script: 'sdk-stores/replay-read',
      situation: 'an event, 15 of 4 MB of other streams behind it',
    },
    prepare: async (world) => {
      const replays = world.a.sdkStores.replays;
      const id = randomUUID();
      const first = await replays.append(id, 's', 'first');
      for (let at = 0; at < 15; at += 1) await replays.append(id, 't', 'y'.repeat(4 * MB));
      await replays.append(id, 's', 'second');
      return async () => replays.read(id, 's', first, 262_144);
    },
  },
  {
    ...{
      script: 'sdk-stores/replay-append',
      situation: 'a log that is full of small events, and 4 MB more',
      carriesLarge: true,
    },
    prepare: async (world) => {
      const replays = world.a.sdkStores.replays;
      const id = randomUUID();
      for (let at = 0; at < 80; at += 1) {
        await Promise.all(
          Array.from({ length: 100 }, () => replays.append(id, 't', 'y'.repeat(10))),
        );
      }
      for (let at = 0; at < 16; at += 1) await replays.append(id, 't', 'y'.repeat(4 * MB));
      await replays.append(id, 't', 'y'.repeat(1.6 * MB));
      return async () => replays.append(id, 's', 'y'.repeat(4 * MB));
    },
  },
  {
    ...{ script: 'sdk-stores/task-enter', situation: '10,000 tasks of a session' },
    prepare: async (world) => {
      const tasks = world.a.sdkStores.tasks;
      const sessionId = randomUUID();
      const task = () => taskOf(sessionId);
      for (let at = 0; at < 100; at += 1) {
        await Promise.all(Array.from({ length: 100 }, () => tasks.create(task(), 10_000)));
      }
      return async () => tasks.create(task(), 10_000);
    },
  },
  {
    ...{ script: 'sdk-stores/task-pop', situation: '1,000 messages of 8 kB in a queue' },
    prepare: async (world) => {
      const tasks = world.a.sdkStores.tasks;
      const ids = Array.from({ length: 3 }, () => randomUUID());
      for (const id of ids) {
        for (let at = 0; at < 1_000; at += 1) await tasks.push(id, 'y'.repeat(8_000), 1_000);
      }
      return async () => tasks.popAll(ids.pop() ?? '', undefined);
    },
  },
  {
    ...{ script: 'sdk-stores/task-push', situation: 'a queue of 999 messages of 8 kB' },
    prepare: async (world) => {
      const tasks = world.a.sdkStores.tasks;
      const id = randomUUID();
      for (let at = 0; at < 999; at += 1) await tasks.push(id, 'y'.repeat(8_000), 1_000);
      return async () => tasks.push(id, 'y'.repeat(8_000), 1_000);
    },
  },
  {
    ...{ script: 'sdk-stores/task-change', situation: 'a task with a result of 4 MB' },
    carriesLarge: true,
    prepare: async (world) => {
      const tasks = world.a.sdkStores.tasks;
      const ids = await Promise.all([1, 2, 3].map(() => newTask(world)));
      const change = {
        ...{ sessionId: undefined, status: 'completed' as const, statusMessage: undefined },
        ...{ result: 'y'.repeat(4 * MB), at: new Date().toISOString() },
      };
      return async () => tasks.change({ ...change, id: ids.pop() ?? '' });
    },
  },
  {
    ...{ script: 'sdk-stores/broadcast', situation: '1,000 broadcasts of 8 kB before it' },
    prepare: async (world) => {
      const { broadcasts } = world.a.sdkStores;
      for (let at = 0; at < 1_000; at += 1) await broadcasts.publish('y'.repeat(8_000));
      return async () => broadcasts.publish('y'.repeat(8_000));
    },
  },
];
