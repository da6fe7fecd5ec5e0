/** What an observer finds in Redis: sessions by their properties, running requests, and events by their times. */
import { expect, it, onTestFinished } from 'vitest';
import { redisBackplane } from '../../src/index.js';
import type { SessionQuery } from '../../src/operator/index.js';
import { observe } from '../../src/operator/index.js';
import { append, open, TestNode } from '../contract/suite/rig.js';
import { connectRedis, redisUrl, uniquePrefix } from '../support/redis-fixture.js';

/** A node of the backplane, and an observer of it. */
async function start() {
  const prefix = uniquePrefix();
  const node = new TestNode(redisBackplane({ redis: redisUrl(), prefix }));
  await node.backplane.ready();
  const observer = observe({ redis: redisUrl(), prefix });
  onTestFinished(async () => {
    observer.close();
    await node.backplane.leave();
  });
  const create = (id: string, client = 'app 1', principal = 'anonymous') => {
    const [name, version] = client.split(' ');
    const initialize = JSON.stringify({ clientInfo: { name, version } });
    return node.create({ id, initialize, principal });
  };
  const find = async (query: SessionQuery) => {
    const { sessions, next, matched } = await observer.findSessions(query);
    return { ids: sessions.map(({ info }) => info.id), next, matched };
  };
  return { node, observer, prefix, create, find };
}

it('finds sessions by id, client, principal, node, protocol, idle time and errors', async () => {
  const { node, create, find, observer } = await start();
  await create('aa1', 'Desktop 2.1', 'as:bob');
  await create('aa2', 'cli 7', 'as:alice');
  await create('ab', 'cli 8', 'sse:as:alice');
  await create('b');
  const principal = 'as:alice';
  await node.run('aa2', open('p', ['1', '2'], { principal }));
  await node.say('aa2', 'p', 'error', { ends: '1', failed: true });
  for (const [query, ids] of [
    [{}, ['aa1', 'aa2', 'ab', 'b']],
    [{ idPrefix: 'aa' }, ['aa1', 'aa2']],
    [{ idPrefix: 'ab' }, ['ab']],
    [{ idPrefix: 'c' }, []],
    [{ client: 'DESK' }, ['aa1']],
    [{ client: 'cli 8' }, ['ab']],
    [{ principal: 'ALICE' }, ['aa2', 'ab']],
    [{ principal: 'anonymous' }, ['b']],
    [{ node: node.id.slice(0, 6) }, ['aa1', 'aa2', 'ab', 'b']],
    [{ node: 'other' }, []],
    [{ protocol: '2025-06' }, ['aa1', 'aa2', 'ab', 'b']],
    [{ protocol: '2026' }, []],
    [{ idleMs: 3_600_000 }, []],
    [{ hasErrors: true }, ['aa2']],
    [{ hasErrors: false, client: 'cli' }, ['ab']],
  ] as const) {
    expect((await find(query)).ids, JSON.stringify(query)).toEqual(ids);
  }
  const { sessions } = await observer.findSessions({ idPrefix: 'aa2' });
  expect(sessions).toMatchObject([
    { info: { principal: 'alice', errors: 1 }, streams: 1, followed: 1, requests: 1 },
  ]);
  for (const query of [{ sort: 'size' }, { limit: 0 }, { after: 'x' }, { idleMs: -1 }]) {
    expect(() => observer.findSessions(query as SessionQuery)).toThrow(TypeError);
  }
});

it('gives sessions in any order, page by page, each of them once', async () => {
  const { create, find } = await start();
  const made = ['d', 'a', 'c', 'e', 'b'];
  for (const [at, id] of made.entries()) await create(id, `app ${at % 2}`);
  const orders: [SessionQuery, string[]][] = [
    [{}, ['a', 'b', 'c', 'd', 'e']],
    [{ reverse: true }, ['e', 'd', 'c', 'b', 'a']],
    [{ sort: 'client' }, ['b', 'c', 'd', 'a', 'e']],
    [{ sort: 'created' }, [...made].reverse()],
    [{ sort: 'used', reverse: true }, made],
  ];
  for (const [query, expected] of orders) {
    const ids: string[] = [];
    let after: string | undefined;
    do {
      const page = await find({ ...query, limit: 2, after });
      ids.push(...page.ids);
      after = page.next;
    } while (after !== undefined);
    // Sessions of one millisecond are in the order of their ids.
    if (query.sort === 'created' || query.sort === 'used')
      expect(ids.sort()).toEqual([...expected].sort());
    else expect(ids).toEqual(expected);
  }
  expect(await find({ client: '1' })).toMatchObject({ ids: ['a', 'e'], matched: 2 });
});

it('reads no more of many sessions than the page needs, and never looks at all keys', async () => {
  const { prefix, find } = await start();
  const redis = connectRedis();
  const ids = Array.from({ length: 3_000 }, (_, at) => `s${String(at).padStart(5, '0')}`);
  const pipeline = redis.pipeline();
  for (const [at, id] of ids.entries()) {
    pipeline.hset(`${prefix}:{${id}}`, { rev: '1', pr: 'anonymous', at: 1, seen: at, init: '{}' });
    pipeline.zadd(`${prefix}:sessions`, 0, id);
  }
  await pipeline.exec();
  const cost = async (query: SessionQuery) => {
    await redis.config('RESETSTAT');
    const page = await find(query);
    const stats = await redis.info('commandstats');
    const calls = (name: string): number =>
      Number(new RegExp(`cmdstat_${name}:calls=(\\d+)`).exec(stats)?.[1] ?? 0);
    return { page, reads: calls('hgetall'), scans: calls('scan') };
  };
  const first = await cost({ limit: 50 });
  expect(first.page.ids).toEqual(ids.slice(0, 50));
  expect(first).toMatchObject({ reads: 250, scans: 0 });
  const one = await cost({ idPrefix: 's01234' });
  expect(one).toMatchObject({ page: { ids: ['s01234'], matched: 1 }, reads: 2, scans: 0 });
  const sorted = await cost({ sort: 'used', limit: 50 });
  expect(sorted.page).toMatchObject({ ids: ids.slice(-50).reverse(), matched: 3_000 });
  expect(sorted).toMatchObject({ reads: 3_050, scans: 0 });
});

it('shows running requests with method, name, time and nodes, however long ago they began', async () => {
  const { node, observer, create } = await start();
  await create('s');
  const call = (id: number | string, method: string, params: unknown) =>
    JSON.stringify({ jsonrpc: '2.0', id, method, params });
  const stream = `${node.id}0`;
  const before = await node.backplane.timeOf('s');
  const principal = 'anonymous';
  await node.run(
    's',
    open(stream, ['1', '"a:b"'], {
      principal,
      messages: [
        call(1, 'tools/call', { name: 'slow', arguments: {} }),
        call('a:b', 'resources/read', { uri: 'file:///x' }),
      ],
    }),
  );
  await node.run('s', open('other', ['2'], { principal, messages: [call(2, 'ping', {})] }));
  await node.run('s', append('other', 'pong', { ends: '2' }));
  // Progress of the call, and much else: its request is many pages back.
  for (let n = 0; n < 100; n += 1) await node.run('s', append(stream, `{"progress":${n}}`));
  const requests = (await observer.details('s'))?.requests;
  expect(requests).toMatchObject([
    { id: 1, method: 'tools/call', name: 'slow', executor: node.id, begun: true },
    { id: 'a:b', method: 'resources/read', name: 'file:///x', executor: node.id },
  ]);
  for (const { since } of requests ?? []) expect(since).toBeGreaterThanOrEqual(before);
});

it('reads events from a time on, and up to a time', async () => {
  const { node, observer, create } = await start();
  await create('s');
  const said = async (text: string) => {
    const { position } = await node.say('s', 'g', JSON.stringify({ jsonrpc: '2.0', method: text }));
    return Number(position.logId.split('-')[0]);
  };
  const times: number[] = [];
  let last = await node.backplane.timeOf('s');
  for (const text of ['one', 'two', 'three']) {
    // Each of them is at a time of its own.
    while ((await node.backplane.timeOf('s')) === last);
    last = await said(text);
    times.push(last);
  }
  const [one = 0, two = 0, three = 0] = times;
  const methods = async (after: number | undefined, until: number | undefined) => {
    const found: string[] = [];
    const range = {
      ...(after !== undefined && { after: new Date(after) }),
      ...(until !== undefined && { until: new Date(until) }),
    };
    for await (const { method, type } of observer.sessions.events('s', range)) {
      found.push(method ?? type);
    }
    return found;
  };
  expect(await methods(one, undefined)).toEqual(['one', 'two', 'three']);
  expect(await methods(two, two)).toEqual(['two']);
  expect(await methods(two, three)).toEqual(['two', 'three']);
  expect((await methods(0, one)).at(-1)).toBe('one');
  // Nothing is missing before the beginning of the session.
  expect(await methods(0, undefined)).not.toContain('log.trimmed');
  expect(() => observer.sessions.events('s', { after: new Date('x') })).toThrow(
    'id of an event or a time',
  );
});
