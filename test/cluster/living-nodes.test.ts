/** Nodes that live, though their leases are gone: no other node may take their calls, sessions and connections for those of the dead. */
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { expect, it, onTestFinished } from 'vitest';
import { startRedis } from '../rig/redis.js';
import { redisBackplane } from '../../src/index.js';
import { type Tools } from '../integration/support/scripted-server.js';
import { openSession, startNode, type NodeOptions } from '../integration/support/serve.js';
import { signal } from '../integration/support/signal.js';
import { answers, hasMethod, notification, request, type RawClient } from '../support/mcp-http.js';
import { redisUrl, uniquePrefix } from '../support/redis-fixture.js';
import { startTcpProxy } from '../support/tcp-proxy.js';

const LEASE_MS = 2_000;
/** Enough for two looks after a node that had lost its own lease has it again. */
const TWO_LOOKS_MS = LEASE_MS / 2 + 2_500;

/** Two nodes, each behind a proxy of its own, and a tool that runs until `go`. */
async function twoNodes(url: string, options: NodeOptions = {}) {
  const prefix = uniquePrefix();
  const admin = new Redis(url);
  onTestFinished(() => admin.disconnect());
  const go = signal();
  const tools: Tools = {
    slow: async () => {
      await go.promise;
      return 'done';
    },
  };
  const proxies: Awaited<ReturnType<typeof startTcpProxy>>[] = [];
  const start = async () => {
    const proxy = await startTcpProxy({ target: { port: Number(new URL(url).port) } });
    onTestFinished(() => proxy.stop());
    proxies.push(proxy);
    return startNode({
      backplane: redisBackplane({ redis: `redis://127.0.0.1:${proxy.port}`, prefix }),
      ...{ leaseMs: LEASE_MS, commandTimeoutMs: 500, tools, ...options },
    });
  };
  const [a, b] = [await start(), await start()];
  const leases = [a, b].map(({ mcp }) => `${prefix}:node:${mcp.nodeId}`);
  const ownerOf = (id: string) => admin.hget(`${prefix}:{${id}}`, 'own');
  return { admin, prefix, a, b, proxies, leases, ownerOf, go };
}

type Two = Awaited<ReturnType<typeof twoNodes>>;

/** A call that runs on A. */
async function callOnA(a: Two['a'], client: RawClient) {
  const id = client.nextId();
  const { sse } = await client.post(a.url, request(id, 'tools/call', { name: 'slow' }));
  await expect.poll(() => sse.lastEventId).toBeDefined();
  return { id, sse };
}

/** What makes a Redis refuse writes, by the error that it refuses them with, and what lets it allow them again. */
const REFUSALS = {
  NOREPLICAS: [
    ['CONFIG', 'SET', 'min-replicas-to-write', '1'],
    ['CONFIG', 'SET', 'min-replicas-to-write', '0'],
  ],
  OOM: [
    ['CONFIG', 'SET', 'maxmemory', '1'],
    ['CONFIG', 'SET', 'maxmemory', '0'],
  ],
  // A replica whose master cannot be reached goes on answering reads.
  READONLY: [
    ['REPLICAOF', '127.0.0.1', '1'],
    ['REPLICAOF', 'NO', 'ONE'],
  ],
  // The server of these tests cannot save: a folder is in the place of its file.
  MISCONF: [['BGSAVE'], ['CONFIG', 'SET', 'stop-writes-on-bgsave-error', 'no']],
} as const;
type Refusal = keyof typeof REFUSALS;

/** Side by side, each with a Redis of its own: they mostly wait. */
async function forEachRefusal(test: (by: Refusal) => Promise<void>): Promise<void> {
  await Promise.all(Object.keys(REFUSALS).map((by) => test(by as Refusal)));
}

/** Redis goes on answering reads, and refuses writes for longer than leases last. */
async function refuseWrites(
  admin: Redis,
  { by, during }: { by: Refusal; during?: () => Promise<void> },
) {
  const [[refuse, ...refuseArgs], [allow, ...allowArgs]] = REFUSALS[by];
  await admin.call(refuse, ...refuseArgs);
  const write = () => admin.set('written', '1').then(String, String);
  await expect.poll(write).toContain(by);
  await sleep(1.5 * LEASE_MS);
  await during?.();
  await sleep(LEASE_MS);
  await admin.call(allow, ...allowArgs);
}

async function ownRedis(): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'anynode-living-'));
  const redis = await startRedis({
    dir,
    args: ['--save', '3600 1000000', '--dbfilename', 'taken'],
  });
  await mkdir(join(dir, 'taken', 'by'), { recursive: true });
  onTestFinished(async () => {
    await redis.stop();
    await rm(dir, { recursive: true });
  });
  return redis.url;
}

// All leases ran out, since renewals are writes; looks at them are reads. So every node found all others dead, and
// claimed their requests as soon as writes were allowed again.
it('a call ends with its result, although Redis has refused writes for longer than a lease', async () => {
  await forEachRefusal(async (by) => {
    const { admin, a, b, go } = await twoNodes(await ownRedis());
    const { client } = await openSession(a.url);
    const { id, sse } = await callOnA(a, client);
    sse.close();
    const resumed = await client.listen(b.url, { lastEventId: sse.lastEventId ?? '' });
    await refuseWrites(admin, { by });
    await sleep(TWO_LOOKS_MS);
    go.resolve();
    const { message } = await resumed.next(answers(id));
    expect(message, by).toMatchObject({ result: { content: [{ text: 'done' }] } });
  });
}, 60_000);

it('an owner keeps its session, although Redis has refused writes for longer than a lease', async () => {
  await forEachRefusal(async (by) => {
    const { admin, a, b, ownerOf, go } = await twoNodes(await ownRedis(), { affinity: 'owner' });
    const { client, sessionId } = await openSession(a.url);
    const { id, sse } = await callOnA(a, client);
    const second = client.nextId();
    let handed: Promise<unknown> | undefined;
    const during = async () => {
      // What comes meanwhile is refused, or waits; it must not move the session either.
      const refused = client.post(b.url, notification('notifications/custom'));
      handed = client.post(b.url, request(second, 'tools/list'));
      await Promise.allSettled([refused, handed]);
    };
    await refuseWrites(admin, { by, during });
    await client.post(b.url, notification('notifications/custom'));
    await sleep(TWO_LOOKS_MS);
    expect(await ownerOf(sessionId), by).toBe(a.mcp.nodeId);
    go.resolve();
    const { message } = await sse.next(answers(id));
    expect(message, by).toMatchObject({ result: { content: [{ text: 'done' }] } });
  });
}, 60_000);

/** Redis is away from both nodes for longer than a lease; B is back first, and A `laterMs` later. */
async function outage(
  { a, b, admin, leases, proxies }: Two,
  laterMs: number,
  between: () => Promise<void>,
) {
  for (const proxy of proxies) {
    proxy.refuse();
    proxy.cut();
  }
  await expect.poll(() => admin.exists(...leases), { timeout: 2 * LEASE_MS }).toBe(0);
  proxies[1]?.accept();
  await expect.poll(() => b.mcp.health().status, { interval: 5 }).toBe('ready');
  await between();
  await sleep(laterMs);
  proxies[0]?.accept();
  await expect.poll(() => a.mcp.health().status, { interval: 5 }).toBe('ready');
}

// Each of these places took one look at a lease for the truth. The later one is back after B has begun to look for it. B may
// call it dead after half a lease and 900 ms, and connecting again takes it up to 500 ms.
it.each([300, 1_100])(
  'a notification does not take the session from an owner that is back %i ms after the others',
  async (laterMs) => {
    const two = await twoNodes(redisUrl(), { affinity: 'owner' });
    const { a, b, go } = two;
    const { client, sessionId } = await openSession(a.url);
    const { id, sse } = await callOnA(a, client);
    await outage(two, laterMs, async () => {
      (await client.post(b.url, notification('notifications/custom'))).expect(202);
    });
    await sleep(TWO_LOOKS_MS);
    go.resolve();
    const { message } = await sse.next(answers(id));
    expect(message).toMatchObject({ result: { content: [{ text: 'done' }] } });
    expect(await two.ownerOf(sessionId)).toBe(a.mcp.nodeId);
  },
  30_000,
);

it('the id of a running call stays in use while its node is not back yet', async () => {
  const two = await twoNodes(redisUrl());
  const { a, b, go } = two;
  const { client } = await openSession(a.url);
  const { id, sse } = await callOnA(a, client);
  await outage(two, 300, async () => {
    const again = await client.post(b.url, request(id, 'tools/list'));
    expect(again.status).not.toBe(503);
  });
  go.resolve();
  const { message } = await sse.next(answers(id));
  expect(message).toMatchObject({ result: { content: [{ text: 'done' }] } });
}, 30_000);

it('a question of a node that is not back yet is shown, and its answer reaches it', async () => {
  const tools: Tools = {
    ask: async ({ server }) =>
      (
        await server.elicitInput({
          message: '?',
          requestedSchema: { type: 'object', properties: {} },
        })
      ).action,
  };
  const two = await twoNodes(redisUrl(), { tools });
  const { a, b } = two;
  const { client } = await openSession(a.url, { capabilities: { elicitation: {} } });
  const id = client.nextId();
  // No GET is open yet: the question waits in the log.
  const { sse } = await client.post(a.url, request(id, 'tools/call', { name: 'ask' }));
  await expect.poll(() => a.mcp.health().inFlight).toBe(1);
  let stream: Awaited<ReturnType<RawClient['listen']>> | undefined;
  await outage(two, 300, async () => {
    stream = await client.listen(b.url);
  });
  const asked = await stream?.next(hasMethod('elicitation/create'));
  await client.respond(b.url, asked?.message?.id as string, { action: 'accept', content: {} });
  const { message } = await sse.next(answers(id));
  expect(message).toMatchObject({ result: { content: [{ text: 'accept' }] } });
}, 30_000);

it('a stream stays with its connection on a node that is not back yet, and a second GET gets 409', async () => {
  const two = await twoNodes(redisUrl(), { standaloneStream: 'reject' });
  const { a, b } = two;
  const { client, sessionId } = await openSession(a.url);
  const stream = await client.listen(a.url);
  await outage(two, 300, async () => {
    const second = await client.get(b.url);
    expect(second.status).toBe(409);
  });
  await a.mcp.session(sessionId).notify({ method: 'notifications/message', params: { n: 1 } });
  await stream.next(hasMethod('notifications/message'));
}, 30_000);

// A Redis that has lost the leases says nothing of it: each node finds out with its next renewal, one sooner than another.
it('a call ends with its result, although Redis has lost all leases', async () => {
  const { admin, a, b, leases, go } = await twoNodes(redisUrl(), { leaseMs: 6_000 });
  const { client } = await openSession(a.url);
  const { id, sse } = await callOnA(a, client);
  sse.close();
  const resumed = await client.listen(b.url, { lastEventId: sse.lastEventId ?? '' });
  for (let round = 0; round < 3; round += 1) {
    await admin.del(...leases);
    await expect.poll(() => admin.exists(...leases), { timeout: 5_000 }).toBe(2);
  }
  go.resolve();
  const { message } = await resumed.next(answers(id));
  expect(message).toMatchObject({ result: { content: [{ text: 'done' }] } });
}, 30_000);

// Twin: a node that is dead is found dead, after an outage as well.
it('a call of a node that does not come back ends with an error', async () => {
  const two = await twoNodes(redisUrl());
  const { a, b, proxies, admin, leases } = two;
  const { client } = await openSession(a.url);
  const { id, sse } = await callOnA(a, client);
  sse.close();
  const resumed = await client.listen(b.url, { lastEventId: sse.lastEventId ?? '' });
  for (const proxy of proxies) {
    proxy.refuse();
    proxy.cut();
  }
  await expect.poll(() => admin.exists(...leases), { timeout: 2 * LEASE_MS }).toBe(0);
  proxies[1]?.accept();
  const { message } = await resumed.next(answers(id), 10_000);
  expect(message?.error).toMatchObject({ data: { reason: 'node_lost', node: a.mcp.nodeId } });
  proxies[0]?.accept();
  two.go.resolve();
}, 30_000);
