import type { Redis } from 'ioredis';
import { expect, it, onTestFinished } from 'vitest';
import type { JoinOptions } from '../../src/backplane/backplane.js';
import { redisBackplane } from '../../src/backplane/redis/redis-backplane.js';
import { KEPT_BROADCASTS } from '../../src/backplane/sdk-store-access.js';
import { connectRedis, redisUrl, uniquePrefix } from '../support/redis-fixture.js';
import { startTcpProxy } from '../support/tcp-proxy.js';
import { broadcastsOf, ear } from './sdk-stores/broadcasts.js';
import { eventually, TestNode } from './suite/rig.js';

/** Puts two nodes on a Redis, the second one behind a proxy. */
async function behindProxy(options: Partial<JoinOptions> = {}) {
  const prefix = uniquePrefix();
  const proxy = await startTcpProxy({ target: { port: Number(new URL(redisUrl()).port) } });
  onTestFinished(proxy.stop);
  const join = async (url: string) => {
    const node = new TestNode(redisBackplane({ redis: url, prefix }), options);
    onTestFinished(() => node.backplane.leave());
    await node.backplane.ready();
    return node;
  };
  const [a, b] = [await join(redisUrl()), await join(`redis://127.0.0.1:${proxy.port}`)];
  return { prefix, proxy, a, b };
}

it('a node gets the broadcasts that it has missed when it can hear again, in order', async () => {
  const { proxy, a, b } = await behindProxy();
  const { texts, gaps } = ear(b);
  await broadcastsOf(a).publish('one');
  await eventually(() => {
    expect(texts).toEqual(['one']);
  });
  proxy.refuse();
  proxy.cut();
  for (const text of ['two', 'three']) await broadcastsOf(a).publish(text);
  proxy.accept();
  await eventually(() => {
    expect(texts).toEqual(['one', 'two', 'three']);
  });
  await broadcastsOf(a).publish('four');
  await eventually(() => {
    expect(texts).toEqual(['one', 'two', 'three', 'four']);
  });
  expect(gaps()).toBe(0);
});

it('a node gets the broadcasts that were published before it reached Redis for the first time', async () => {
  const { proxy, a, b } = await behindProxy();
  proxy.refuse();
  proxy.cut();
  const { texts } = ear(b);
  await broadcastsOf(a).publish('early');
  proxy.accept();
  await eventually(() => {
    expect(texts).toEqual(['early']);
  });
});

it('a node notices a lost wake-up with the next one, and gets both broadcasts', async () => {
  const { prefix, a, b } = await behindProxy();
  const { texts, gaps } = ear(b);
  await broadcastsOf(a).publish('one');
  await eventually(() => {
    expect(texts).toEqual(['one']);
  });
  // The broadcast is stored as the script does it, and no wake-up is published.
  const redis = connectRedis();
  const key = `${prefix}:broadcasts`;
  const [[last]] = (await redis.xrevrange(key, '+', '-', 'COUNT', 1)) as [[string, string[]]];
  await redis.xadd(key, '*', 'b', last, 'f', 'other', 'k', 'x', 't', 'two');
  await broadcastsOf(a).publish('three');
  await eventually(() => {
    expect(texts).toEqual(['one', 'two', 'three']);
  });
  expect(gaps()).toBe(0);
});

it('a node that has missed more broadcasts than are kept is told of the gap', async () => {
  const { proxy, a, b } = await behindProxy();
  const { texts, gaps } = ear(b);
  await broadcastsOf(a).publish('one');
  await eventually(() => {
    expect(texts).toEqual(['one']);
  });
  proxy.refuse();
  proxy.cut();
  await Promise.all(
    Array.from({ length: KEPT_BROADCASTS + 1 }, (_, at) => broadcastsOf(a).publish(String(at))),
  );
  proxy.accept();
  await eventually(() => {
    expect(texts).toHaveLength(1 + KEPT_BROADCASTS);
  });
  expect(gaps()).toBe(1);
});

/** Loses the entries of a stream after `last`, and that there ever were any. */
async function loseAfter(redis: Redis, key: string, last: string): Promise<void> {
  const kept = await redis.xrange(key, '-', last);
  await redis.del(key);
  for (const [id, fields] of kept) await redis.xadd(key, id, ...fields);
}

// Bug: broadcasts that are stored before the node has subscribed again can have lower ids than those that it has heard,
// if the clock of the new master is behind. The node read on after the last one that it had heard, and found nothing.
it('a node is told of a gap after a failover that lost a broadcast, also if the new clock is behind', async () => {
  const { prefix, a, b } = await behindProxy();
  const { texts, gaps } = ear(b);
  for (const text of ['one', 'lost']) await broadcastsOf(a).publish(text);
  await eventually(() => {
    expect(texts).toEqual(['one', 'lost']);
  });
  const redis = connectRedis();
  const key = `${prefix}:broadcasts`;
  const [first, lost] = (await redis.xrange(key, '-', '+')).map(([logId]) => logId);
  if (first === undefined || lost === undefined) throw new Error('Two texts were published');
  await loseAfter(redis, key, first);
  const early = first.replace(/\d+$/, '7');
  await redis.xadd(key, early, 'b', first, 'f', 'other', 'k', 'x', 't', 'two');
  await redis.call('CLIENT', 'KILL', 'TYPE', 'pubsub');
  await eventually(() => {
    expect(gaps()).toBe(1);
  });
});

// Bug: if the clock is behind, the event that came in the place of a lost one has a lower id than the cursor. It was
// skipped.
it('a cursor of an event that a failover has lost is refused, also if the new clock is behind', async () => {
  const { prefix, a } = await behindProxy();
  const { sdkStores } = a.backplane;
  if (sdkStores === undefined) throw new Error('Redis has them');
  const { replays } = sdkStores;
  const first = await replays.append('s', 'p', '1');
  const lost = await replays.append('s', 'p', '2');
  const redis = connectRedis();
  const key = `${prefix}:replay:{s}`;
  await loseAfter(redis, key, first.logId);
  const id = first.logId.replace(/\d+$/, '7');
  await redis.xadd(key, id, 'o', '101', 's', 'p', 'n', '2', 'k', 'x', 'm', 'another');
  const next = `${parseInt(lost.logId) + 1}-0`;
  await redis.xadd(key, next, 'o', '202', 's', 'p', 'n', '3', 'k', 'y', 'm', '3');
  await redis.hset(`${key}:ends`, 'p', `3:${next}`);
  expect(await replays.read('s', 'p', lost, 1_000)).toEqual({ status: 'unknown' });
  expect(await replays.read('s', 'p', first, 1_000)).toMatchObject({
    events: [{ message: 'another' }, { message: '3' }],
  });
});

it('a broadcast whose reply was lost is stored once', async () => {
  const { proxy, a, b } = await behindProxy();
  const { texts } = ear(a);
  const cut = proxy.cutBeforeReply((data) => data.includes('once'));
  await Promise.all([broadcastsOf(b).publish('once'), cut]);
  await broadcastsOf(b).publish('again');
  await eventually(() => {
    expect(texts).toEqual(['once', 'again']);
  });
});

it('all keys of the stores have a TTL, and none exists before a store is used', async () => {
  const { prefix, a } = await behindProxy();
  const redis = connectRedis();
  const others = async () =>
    (await redis.keys(`${prefix}:*`)).filter((key) => !key.startsWith(`${prefix}:node:`));
  const channels = () => redis.pubsub('CHANNELS', `${prefix}:*`);
  const before = (await channels()).length;
  expect(await others()).toEqual([]);
  await broadcastsOf(a).publish('x');
  expect(await others()).toEqual([`${prefix}:broadcasts`]);
  const ttl = await redis.pttl(`${prefix}:broadcasts`);
  expect(ttl).toBeGreaterThan(0);
  const { stop } = ear(a);
  await eventually(async () => {
    expect(await channels()).toHaveLength(before + 1);
  });
  stop();
  await eventually(async () => {
    expect(await channels()).toHaveLength(before);
  });
});

// Bug: the repeat looked for the message in the queue only, and queued it again. The client was shown it twice.
it('a message that was taken from the queue before its repeat came is not queued again', async () => {
  const { proxy, a, b } = await behindProxy();
  const [on, near] = [a.backplane.sdkStores?.tasks, b.backplane.sdkStores?.tasks];
  await near?.push('task', 'first', 10);
  proxy.refuse();
  const sprung = proxy.cutBeforeReply((data) => data.includes('second'));
  const pushed = near?.push('task', 'second', 10);
  await sprung;
  expect(await on?.popAll('task', undefined)).toEqual(['first', 'second']);
  proxy.accept();
  expect(await pushed).toBe(true);
  expect(await on?.popAll('task', undefined)).toEqual([]);
});

it('a task that has expired is taken off the list by the node that lists the tasks', async () => {
  const { prefix, a, b } = await behindProxy();
  const [on, other] = [a.backplane.sdkStores?.tasks, b.backplane.sdkStores?.tasks];
  const task = { sessionId: 's', ttlMs: 60_000, pollIntervalMs: 1000, method: 'x' };
  for (const id of ['one', 'two', 'three']) {
    await on?.create({ ...task, id, createdAt: new Date().toISOString() }, 10);
  }
  const redis = connectRedis();
  const [key = ''] = await redis.keys(`${prefix}:task:*two*`);
  const [list = ''] = await redis.keys(`${prefix}:tasks:*`);
  await redis.del(key);
  expect((await other?.list('s', 0, 2))?.map(({ record }) => record.id)).toEqual(['one', 'three']);
  expect(await redis.zrange(list, '0', '-1')).toEqual(['one', 'three']);
});
