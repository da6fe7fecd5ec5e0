/** Each call ends in bounded time, and a refused step leaves nothing behind. */
import { Cluster } from 'ioredis';
import { afterAll, afterEach, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import type { Backplane, Operation } from '../../src/backplane/backplane.js';
import { LOG_START, STANDALONE } from '../../src/backplane/backplane.js';
import { redisBackplane } from '../../src/backplane/redis/redis-backplane.js';
import { startRedisCluster, type RedisCluster } from '../rig/redis.js';
import { useFileRedis } from '../support/file-redis.js';
import { uniquePrefix } from '../support/redis-fixture.js';
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.js';
import { lateness } from './support/lateness.js';
import {
  ALICE,
  append,
  BEGINNING,
  detach,
  eventually,
  newSession,
  open,
  receive,
  subscribe,
  TestNode,
} from './suite/rig.js';

const own = useFileRedis();
let servers: RedisCluster;
beforeAll(async () => {
  servers = await startRedisCluster({ masters: 3 });
});
afterAll(async () => {
  await servers.stop();
});

let proxies: TcpProxy[] = [];
let nodes: TestNode[] = [];
afterEach(async () => {
  await Promise.all(nodes.map(({ backplane }) => backplane.leave()));
  await Promise.all(proxies.map((proxy) => proxy.stop()));
  nodes = [];
  proxies = [];
});

async function proxyTo(port: number): Promise<TcpProxy> {
  const proxy = await startTcpProxy({ target: { port } });
  proxies.push(proxy);
  return proxy;
}

async function join(backplane: Backplane, commandTimeoutMs: number): Promise<TestNode> {
  const node = new TestNode(backplane, { commandTimeoutMs });
  nodes.push(node);
  await node.backplane.ready();
  return node;
}

const kinds: Record<string, () => Promise<Backplane>> = {
  'a single Redis': async () => {
    const { port } = await proxyTo(own.server.port);
    return redisBackplane({ redis: `redis://127.0.0.1:${port}`, prefix: uniquePrefix() });
  },
  'a Redis Cluster': async () => {
    const natMap: Record<string, { host: string; port: number }> = {};
    for (const port of servers.ports) {
      natMap[`127.0.0.1:${port}`] = { host: '127.0.0.1', port: (await proxyTo(port)).port };
    }
    const startup = proxies.map(({ port }) => ({ host: '127.0.0.1', port }));
    const client = new Cluster(startup, { natMap, lazyConnect: true });
    return redisBackplane({ redis: client, prefix: uniquePrefix() });
  },
};

describe.each(Object.keys(kinds))('%s that takes commands and never answers', (kind) => {
  const TIMEOUT_MS = 1_000;
  /** This is much less than a second time-out after the first one. */
  const MARGIN_MS = 500;

  it('fails each call within `commandTimeoutMs`', async () => {
    const node = await join(await (kinds[kind] as () => Promise<Backplane>)(), TIMEOUT_MS);
    const ids = await Promise.all(Array.from({ length: 6 }, () => node.create()));
    const [id = ''] = ids;
    const { backplane } = node;
    for (const proxy of proxies) proxy.stall();
    const calls: Record<string, () => Promise<unknown>> = {
      create: () => backplane.create(newSession()),
      commit: () => node.commit(id, append(STANDALONE, 'news')),
      attach: () => node.attach(id, STANDALONE),
      read: () => node.read(id, STANDALONE),
      touch: () => backplane.touch(ids.map((sessionId) => ({ sessionId, streams: [] }))),
      remove: () => backplane.remove(id, ALICE),
      load: () => backplane.load(id),
      identify: () => backplane.identify(id),
      list: () => backplane.list(undefined, 10),
      history: () => backplane.history(id, LOG_START, 10),
      loadState: () => backplane.loadState(id),
      storeState: () => backplane.storeState(id, '1', undefined),
      send: () => backplane.send('other', { type: 'gone', sessionId: id }),
      alive: () => backplane.alive(['x', 'y', 'z']),
      openStreams: () => backplane.openStreams(id),
      timeOf: () => backplane.timeOf(id),
    };
    // All methods of the interface are called, except for these.
    const rest = ['constructor', 'ready', 'trouble', 'leave', 'steadySince'];
    const own = Object.getOwnPropertyNames(Object.getPrototypeOf(backplane));
    const others = own.filter((name) => !rest.includes(name) && !(name in calls));
    expect(others).toEqual(['inTurn', 'receive']);

    for (let round = 0; round < 2; round += 1) {
      await Promise.all(
        Object.entries(calls).map(async ([name, call]) => {
          const { outcome, lateMs } = await lateness(TIMEOUT_MS, call);
          expect(outcome, name).toMatchObject({ code: 'backplane_unavailable' });
          expect(lateMs, name).toBeLessThan(MARGIN_MS);
        }),
      );
    }
    expect(backplane.trouble()).toEqual(expect.any(String));
    const began = performance.now();
    for (const proxy of proxies) proxy.resume();
    await eventually(() => node.create());
    await eventually(() => {
      expect(backplane.trouble()).toBeUndefined();
    });
    expect(performance.now() - began).toBeLessThan(10_000);
    for (const proxy of proxies) proxy.stall();
    const { lateMs } = await lateness(TIMEOUT_MS, () => backplane.leave());
    expect(lateMs).toBeLessThan(MARGIN_MS);
  });
});

describe('a step that Redis refuses', () => {
  const refusals: Record<string, [() => Promise<unknown>, () => Promise<unknown>]> = {
    'because it is full': [
      () => own.admin.config('SET', 'maxmemory', 1),
      () => own.admin.config('SET', 'maxmemory', 0),
    ],
    'because it is a replica now': [
      () => own.admin.replicaof('127.0.0.1', 1),
      () => own.admin.replicaof('NO', 'ONE'),
    ],
    'because it misses its replicas': [
      () => own.admin.config('SET', 'min-replicas-to-write', 1),
      () => own.admin.config('SET', 'min-replicas-to-write', 0),
    ],
  };
  const steps: Record<string, Operation[]> = {
    'a message': [append(STANDALONE, 'news')],
    'an answer': [append('p', 'answer', { ends: '"1"' })],
    'a message and an answer': [append(STANDALONE, 'news'), append('p', 'answer', { ends: '"1"' })],
    'an answer and a message': [append('p', 'answer', { ends: '"1"' }), append(STANDALONE, 'news')],
    'the end of a connection and a message': [
      detach(STANDALONE, 't1', { n: 1, logId: '1-1' }),
      append(STANDALONE, 'news'),
    ],
    'a call given up and another opened': [
      { type: 'abandon', stream: 'p', requests: ['"1"'] },
      open('q', ['"2"']),
    ],
    'a subscription': [subscribe('file:///x')],
    'a message of the client': [receive({ to: 'initialized' })],
    'the end of a replica': [{ type: 'forget' }],
  };

  // If a step were done in part, its repeat would append the same message again.
  it.each(Object.keys(refusals))(
    'is carried out once as a whole, or not at all: %s',
    async (name) => {
      const [begin, end] = refusals[name] as (typeof refusals)[string];
      const prefix = uniquePrefix();
      const node = await join(redisBackplane({ redis: own.server.url, prefix }), 500);
      const state = async (id: string) => {
        const key = `${prefix}:{${id}}`;
        const { seen: _, ...record } = await own.admin.hgetall(key);
        const streams = await own.admin.hgetall(`${key}:streams`);
        return { record, streams, events: await own.admin.xrange(`${key}:events`, '-', '+') };
      };
      onTestFinished(async () => {
        await end();
      });
      let refused = 0;
      for (const [step, operations] of Object.entries(steps)) {
        const id = await node.create();
        await node.run(id, open('p', ['"1"']));
        await node.hold(id, STANDALONE);
        const before = await state(id);
        await begin();
        const done = await node.commit(id, ...operations).catch(() => undefined);
        const after = await state(id);
        if (done === undefined) {
          refused += 1;
          expect(after, step).toEqual(before);
        }
        await end();
        await eventually(() => node.repeat(id, ...operations));
        await node.repeat(id, ...operations);
        const expected = operations.flatMap((operation) =>
          operation.type === 'append' ? (operation.message ?? []) : [],
        );
        const shown = [...(await node.texts(id, STANDALONE)), ...(await node.texts(id, 'p'))];
        expect(shown.filter((text) => text !== undefined).sort(), step).toEqual(expected.sort());
        if (done !== undefined) expect(await state(id), step).toEqual(after);
      }
      expect(refused).toBeGreaterThan(0);
    },
  );

  it('leaves no part of a session that could not be created', async () => {
    const prefix = uniquePrefix();
    const node = await join(redisBackplane({ redis: own.server.url, prefix }), 500);
    await own.admin.config('SET', 'maxmemory', 1);
    onTestFinished(async () => {
      await own.admin.config('SET', 'maxmemory', 0);
    });
    const session = newSession();
    await expect(node.backplane.create(session)).rejects.toMatchObject({
      code: 'backplane_unavailable',
    });
    expect(await own.admin.keys(`${prefix}:{*`)).toEqual([]);
    await own.admin.config('SET', 'maxmemory', 0);
    expect(await node.backplane.create(session)).toHaveLength(2);
    expect((await node.read(session.id, 'init', BEGINNING)).events).toHaveLength(1);
  });
});
