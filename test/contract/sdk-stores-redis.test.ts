import { expect, it, onTestFinished } from 'vitest';
import type { JoinOptions } from '../../src/backplane/backplane.js';
import { redisBackplane } from '../../src/backplane/redis/redis-backplane.js';
import { KEPT_BROADCASTS } from '../../src/backplane/sdk-store-access.js';
import { connectRedis, redisUrl, uniquePrefix } from '../support/redis-fixture.js';
import { startTcpProxy } from '../support/tcp-proxy.js';
import { broadcastsOf, ear } from './sdk-stores/broadcasts.js';
import { eventually, TestNode } from './suite/rig.js';

/** Two nodes, the second one behind a proxy. */
async function behindProxy(options: Partial<JoinOptions> = {}) {
  const prefix = uniquePrefix();
  const proxy = await startTcpProxy({ target: { port: Number(new URL(redisUrl()).port) } });
  onTestFinished(proxy.stop);
  const join = async (url: string) => {
    const node = new TestNode(redisBackplane({ redis: url, prefix }), options);
    onTestFinished(() => node.membership.leave());
    await node.membership.ready();
    return node;
  };
  const [a, b] = [await join(redisUrl()), await join(`redis://127.0.0.1:${proxy.port}`)];
  return { prefix, proxy, a, b };
}

it('what was broadcast while a node could not hear comes when it can, in order', async () => {
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

it('what came before Redis could be reached for the first time is heard as well', async () => {
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

it('a wake-up that is lost alone is noticed with the next one', async () => {
  const { prefix, a, b } = await behindProxy();
  const { texts, gaps } = ear(b);
  await broadcastsOf(a).publish('one');
  await eventually(() => {
    expect(texts).toEqual(['one']);
  });
  // Stored as the script does, but nobody is told.
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

it('a node that missed more than is kept is told so', async () => {
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

// What is stored before the node has subscribed again comes before what it has heard, by a clock that is behind: it read on
// behind what it had heard, and found nothing.
it('a gap is told where a failover has lost a broadcast that was heard, and the clock of the new master is behind', async () => {
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
  await redis.xdel(key, lost);
  // Redis goes on after the last id that it has ever given.
  await redis.xsetid(key, first);
  const early = first.replace(/\d+$/, '7');
  await redis.xadd(key, early, 'b', first, 'f', 'other', 'k', 'x', 't', 'two');
  await redis.call('CLIENT', 'KILL', 'TYPE', 'pubsub');
  await eventually(() => {
    expect(gaps()).toBe(1);
  });
});

// By a clock that is behind, what came in the place of the event that was lost comes before the cursor: it was passed over.
it('an event that a failover has lost is no place to go on from, also where the clock of the new master is behind', async () => {
  const { prefix, a } = await behindProxy();
  const { sdkStores } = a.membership;
  if (sdkStores === undefined) throw new Error('Redis has them');
  const { replays } = sdkStores;
  const first = await replays.append('s', 'p', '1');
  const lost = await replays.append('s', 'p', '2');
  const redis = connectRedis();
  const key = `${prefix}:replay:{s}`;
  await redis.xdel(key, lost.logId);
  await redis.xsetid(key, first.logId);
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

it('a broadcast whose reply was lost is there once', async () => {
  const { proxy, a, b } = await behindProxy();
  const { texts } = ear(a);
  const cut = proxy.cutBeforeReply((data) => data.includes('once'));
  await Promise.all([broadcastsOf(b).publish('once'), cut]);
  await broadcastsOf(b).publish('again');
  await eventually(() => {
    expect(texts).toEqual(['once', 'again']);
  });
});

it('nothing is kept for ever, and nothing is there before it is used', async () => {
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

// The repeat looked for the message in the queue only, put it there once more, and the client was shown it twice.
it('a message that was taken out before its repeat came is not queued again', async () => {
  const { proxy, a, b } = await behindProxy();
  const [on, near] = [a.membership.sdkStores?.tasks, b.membership.sdkStores?.tasks];
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

it('a task that has gone is taken off the list by whoever looks', async () => {
  const { prefix, a, b } = await behindProxy();
  const [on, other] = [a.membership.sdkStores?.tasks, b.membership.sdkStores?.tasks];
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
