import { expect, it, onTestFinished } from 'vitest';
import { redisBackplane } from '../../src/index.js';
import { sdkStores } from '../../src/sdk-stores/index.js';
import { useFileRedisCluster } from '../support/file-redis.js';
import { uniquePrefix } from '../support/redis-fixture.js';
import { describeSdkStores } from './sdk-stores/describe-sdk-stores.js';
import { eventually } from './suite/rig.js';

const own = useFileRedisCluster();

describeSdkStores('Redis Cluster', () => {
  const prefix = uniquePrefix();
  return Promise.resolve({
    backplane: () => redisBackplane({ redis: own.client, prefix }),
    close: () => Promise.resolve(),
  });
});

// A script with keys of two slots would fail with CROSSSLOT.
it('each step of each store touches keys of one slot only', async () => {
  const prefix = uniquePrefix();
  const [a, b] = [0, 1].map(() => sdkStores({ redis: own.client, prefix })) as [
    ReturnType<typeof sdkStores>,
    ReturnType<typeof sdkStores>,
  ];
  onTestFinished(async () => {
    await Promise.all([a.close(), b.close()]);
  });
  for (let at = 0; at < 10; at += 1) {
    const session = `s${at}`;
    const { taskId } = await a.taskStore.createTask({}, at, { method: 'tools/call' }, session);
    await a.taskMessageQueue.enqueue(taskId, {
      ...{ type: 'notification', timestamp: at },
      message: { jsonrpc: '2.0', method: 'notifications/x' },
    });
    expect(await b.taskMessageQueue.dequeue(taskId, session)).toMatchObject({ timestamp: at });
    await b.taskStore.storeTaskResult(taskId, 'completed', { at }, session);
    expect(await a.taskStore.getTaskResult(taskId, session)).toEqual({ at });
    expect((await b.taskStore.listTasks(undefined, session)).tasks).toHaveLength(1);
    const id = await a.eventStore(session).storeEvent('x', {});
    expect(await b.eventStore(session).getStreamIdForEventId(id)).toBe('x');
  }
  const seen: string[] = [];
  b.serverEventBus.subscribe(({ kind }) => seen.push(kind));
  a.serverEventBus.publish({ kind: 'tools_list_changed' });
  await eventually(() => {
    expect(seen).toEqual(['tools_list_changed']);
  });
});
