import { Cluster } from 'ioredis';
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest';
import { startRedisCluster, type RedisCluster } from '../rig/redis.js';
import { redisBackplane } from '../../src/index.js';
import { sdkStores } from '../../src/sdk-stores/index.js';
import { uniquePrefix } from '../support/redis-fixture.js';
import { describeSdkStores } from './sdk-stores/describe-sdk-stores.js';
import { eventually } from './suite/rig.js';

let servers: RedisCluster;
let client: Cluster;

beforeAll(async () => {
  servers = await startRedisCluster({ masters: 3 });
  client = new Cluster(servers.urls, { lazyConnect: true });
});

afterAll(async () => {
  client.disconnect();
  await servers.stop();
});

describeSdkStores('Redis Cluster', () => {
  const prefix = uniquePrefix();
  return Promise.resolve({
    backplane: () => redisBackplane({ redis: client, prefix }),
    close: () => Promise.resolve(),
  });
});

// A script with keys of two slots would fail with CROSSSLOT.
it('each step of each store touches keys of one slot only', async () => {
  const prefix = uniquePrefix();
  const [a, b] = [0, 1].map(() => sdkStores({ redis: client, prefix })) as [
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
