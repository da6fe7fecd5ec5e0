/** A Redis that answers and refuses: it is full, read-only, short of replicas, or told to pause. */
import { Redis } from 'ioredis';
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { startRedis, type RedisServer } from '../rig/redis.js';
import { answers, request, type RawResponse } from '../support/mcp-http.js';
import { uniquePrefix } from '../support/redis-fixture.js';
import { callTool, holdTool, logged, newClient, says, useCluster } from './support/cluster.js';

const cluster = useCluster();

let redis: RedisServer;
let admin: Redis;
beforeEach(async () => {
  redis = await startRedis();
  admin = new Redis(redis.url);
  // After the nodes: one that can't take its leave waits for Redis a while.
  onTestFinished(async () => {
    admin.disconnect();
    await redis.stop();
  });
});

const COMMAND_TIMEOUT_MS = 500;
const LEASE_MS = 2_500;
const prefix = uniquePrefix();
const mount = () =>
  cluster.mount({
    ...{ redis: redis.url, prefix, mayComplain: true, leaseMs: LEASE_MS },
    commandTimeoutMs: COMMAND_TIMEOUT_MS,
  });

const fill = () => admin.config('SET', 'maxmemory', 1);
const empty = () => admin.config('SET', 'maxmemory', 0);

const troubles: Record<string, [begin: () => Promise<unknown>, end: () => Promise<unknown>]> = {
  'is full': [fill, empty],
  'has become a replica': [
    () => admin.replicaof('127.0.0.1', 1),
    () => admin.replicaof('NO', 'ONE'),
  ],
  'misses the replicas that it is to have': [
    () => admin.config('SET', 'min-replicas-to-write', 1),
    () => admin.config('SET', 'min-replicas-to-write', 0),
  ],
  'is paused for writes': [
    () => admin.client('PAUSE', 60_000, 'WRITE'),
    () => admin.client('UNPAUSE'),
  ],
  // Nothing ends this one early: the command that would is held up as well.
  'is paused': [() => admin.client('PAUSE', 2_500, 'ALL'), () => admin.ping()],
};

it.each(Object.keys(troubles))(
  'a Redis that %s refuses in bounded time, running calls lose nothing, and it is used again',
  async (name) => {
    const [begin, end] = troubles[name] as (typeof troubles)[string];
    const [a, b, c] = await mount();
    const client = newClient();
    await client.initialize(a.url);
    const sessionId = client.sessionId ?? '';
    const stream = await client.listen(b.url);
    const held = await holdTool(client, a, name);
    await begin();

    const fresh = newClient();
    const clientInfo = { name: 'x', version: '1' };
    const params = { protocolVersion: '2025-11-25', capabilities: {}, clientInfo };
    const steps: Record<string, () => Promise<RawResponse>> = {
      initialize: () => fresh.post(a.url, request(1, 'initialize', params)),
      'a call': () => client.post(b.url, request(50, 'tools/list')),
      'a notification': () =>
        client.post(c.url, { jsonrpc: '2.0', method: 'notifications/roots/list_changed' }),
      'a GET': () => client.get(c.url),
    };
    await Promise.all(
      Object.entries(steps).map(async ([step, take]) => {
        const began = performance.now();
        const { status, headers } = await take();
        expect(status, step).toBe(503);
        expect(headers['retry-after'], step).toMatch(/^\d+$/);
        expect(performance.now() - began, step).toBeLessThan(COMMAND_TIMEOUT_MS + 1_000);
      }),
    );
    // What is said meanwhile waits, the answer of a call behind it.
    const pushed = a.call('push', { sessionId, from: 1, count: 3, as: 'n' });
    const said = a.call('say', { key: name, data: 'on the way' });
    await a.call('release', { key: name, text: 'kept' });
    expect(held.stream.events).toEqual([]);

    await end();
    await Promise.all([pushed, said]);
    expect(await held.text()).toBe('kept');
    expect(logged(held.stream)).toEqual(['on the way']);
    await stream.next(says('n 3'));
    expect(logged(stream)).toEqual(['n 1', 'n 2', 'n 3']);
    for (const node of [a, b, c]) {
      await expect
        .poll(async () => (await node.call('health')).status, { timeout: 5_000 })
        .toBe('ready');
      expect(await callTool(client, node, 'echo', { text: 'back' })).toBe('back');
    }
    // The request that was refused has left its id free.
    const again = (await client.post(b.url, request(50, 'tools/list'))).expect(200);
    await again.answer(50);
    expect(stream.endedBy).toBeUndefined();
  },
  30_000,
);

describe('a Redis that is full', () => {
  it('lets calls end and sessions be deleted, which makes room', async () => {
    const [a, b] = await mount();
    const client = newClient();
    await client.initialize(a.url);
    const held = await holdTool(client, a, 'last');
    await fill();
    await a.call('release', { key: 'last', text: 'ended' });
    expect(await held.text()).toBe('ended');
    expect((await client.delete(b.url)).status).toBe(200);
  });

  // SET is refused, and a lease that is written with it runs out: living nodes are taken for dead ones.
  it('keeps the leases of all nodes', async () => {
    const [a, b] = await mount();
    const client = newClient();
    await client.initialize(a.url);
    const held = await holdTool(client, a, 'lease');
    const { id: lastEventId = '' } = await held.stream.priming();
    held.stream.close();
    const followed = await client.listen(b.url, { lastEventId });
    await followed.comment();
    const lease = `${prefix}:node:${a.nodeId}`;
    await fill();
    const until = Date.now() + 1.6 * LEASE_MS;
    while (Date.now() < until) {
      expect(await admin.pttl(lease)).toBeGreaterThan(0);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    // The twin: it is that command that is refused.
    await expect(admin.set(lease, '1', 'PX', LEASE_MS)).rejects.toThrow(/^OOM/);
    expect((await a.call('health')).status).toBe('ready');
    await a.call('release', { key: 'lease', text: 'alive' });
    const { message } = await followed.next(answers(held.id));
    expect(message).toMatchObject({ result: { content: [{ text: 'alive' }] } });
  }, 20_000);
});
