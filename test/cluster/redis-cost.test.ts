import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { expect, it } from 'vitest';
import { commandCounts, commandsBetween, type CommandCounts } from '../support/commandstats.js';
import { useFileRedis } from '../support/file-redis.js';
import { uniquePrefix } from '../support/redis-fixture.js';
import type { RawClient } from '../support/mcp-http.js';
import { callTool, holdTool, newClient, useCluster, type TestNode } from './support/cluster.js';

/**
 * What a cluster asks of Redis, as Redis counts it. Only `evalsha` (and `eval`, the first time), `publish` and what
 * nodes call by themselves are looked at: the commands that a script calls are counted by Redis under their own names.
 */
const cluster = useCluster();

// What other tests leave behind in a shared Redis would be counted.
const own = useFileRedis();
/** Long enough that no lease is renewed while a test counts. */
const LEASE_MS = 600_000;

async function commandsDuring(run: () => Promise<unknown>): Promise<CommandCounts> {
  const before = await commandCounts(own.admin);
  await run();
  return commandsBetween(before, await commandCounts(own.admin));
}

/** Returns the commands that a call needs: scripts and wake-ups. */
function cost({ evalsha = 0, eval: whole = 0, publish = 0 }: CommandCounts) {
  return { scripts: evalsha + whole, wakeUps: publish };
}

/**
 * What nodes do by themselves when they start (they subscribe, and look at their streams and lease then) or a GET when it
 * is opened is none of what is counted: it is through when each has been answered something that it asked for later.
 */
async function settled(client: RawClient, nodes: readonly TestNode[]): Promise<void> {
  for (const node of nodes) {
    await expect.poll(async () => (await node.call('health')).status).toBe('ready');
    await node.call('session', { sessionId: client.sessionId ?? '' });
  }
}

const CALLS = 100;

async function callMany(client: RawClient, node: TestNode): Promise<void> {
  for (let call = 0; call < CALLS; call++) {
    expect(await callTool(client, node, 'echo', { text: `${call}` })).toBe(`${call}`);
  }
}

it('a plain call on a warm session takes two scripts and no wake-up, on whichever node its session began', async () => {
  const [born, other, third] = await cluster.mount({ redis: own.server.url, leaseMs: LEASE_MS });
  const client = newClient();
  await client.initialize(born.url);
  for (const node of [born, other]) await callTool(client, node, 'echo', { text: 'warm' });
  await settled(client, [born, other, third]);

  const onBirthplace = await commandsDuring(() => callMany(client, born));
  expect(cost(onBirthplace)).toEqual({ scripts: 2 * CALLS, wakeUps: 0 });

  const onAnother = await commandsDuring(() => callMany(client, other));
  expect(cost(onAnother)).toEqual({ scripts: 2 * CALLS, wakeUps: 0 });

  await client.listen(third.url);
  await settled(client, [third]);
  const withListener = await commandsDuring(() => callMany(client, other));
  expect(cost(withListener)).toEqual({ scripts: 2 * CALLS, wakeUps: 0 });
  // Nothing besides the scripts, and what they call.
  for (const counts of [onBirthplace, onAnother, withListener]) {
    expect(counts).not.toHaveProperty('exists');
    expect(counts).not.toHaveProperty('keys');
    expect(counts).not.toHaveProperty('scan');
    expect(counts).not.toHaveProperty('set');
  }
});

it('a call of a read-only tool on a warm session takes one script and no wake-up, on each node', async () => {
  const nodes = await cluster.mount({ redis: own.server.url, leaseMs: LEASE_MS });
  const [born, other] = nodes;
  const client = newClient();
  await client.initialize(born.url);
  for (const node of [born, other]) {
    await client.request(node.url, 'tools/list');
    await settled(client, nodes);
    const counts = await commandsDuring(async () => {
      for (let at = 0; at < CALLS; at += 1) await callTool(client, node, 'look', { text: 'x' });
    });
    expect(cost(counts)).toEqual({ scripts: CALLS, wakeUps: 0 });
  }
});

it('a call whose stream is on another node takes one wake-up for its answer', async () => {
  const nodes = await cluster.mount({ redis: own.server.url, leaseMs: LEASE_MS });
  const [executor, holder] = nodes;
  const client = newClient();
  await client.initialize(executor.url);
  const running = await holdTool(client, executor, 'moved');
  const { id } = await running.stream.priming();
  running.stream.close();
  // Given up, and stored as such, before it is taken: else the two nodes have something to say to each other.
  await expect.poll(async () => (await executor.call('health')).streams).toBe(0);
  await callTool(client, executor, 'echo', { text: 'stored' });
  const resumed = await client.listen(holder.url, id === undefined ? {} : { lastEventId: id });
  await resumed.comment();
  await settled(client, nodes);

  const counts = await commandsDuring(async () => {
    await executor.call('release', { key: 'moved', text: 'at last' });
    await resumed.untilEnded();
  });
  expect(resumed.messages).toMatchObject([{ id: running.id }]);
  expect(cost(counts)).toEqual({ scripts: 1, wakeUps: 1 });
});

it('a notification for a GET stream on another node takes one script and one wake-up', async () => {
  const nodes = await cluster.mount({ redis: own.server.url, leaseMs: LEASE_MS });
  const [sender, holder] = nodes;
  const client = newClient();
  await client.initialize(sender.url);
  const stream = await client.listen(holder.url);
  const sessionId = client.sessionId ?? '';
  await sender.call('push', { sessionId, from: 0, as: 'warm' });
  await stream.first(1);
  await settled(client, nodes);

  const began = performance.now();
  const counts = await commandsDuring(async () => {
    await sender.call('push', { sessionId, from: 0, count: CALLS, as: 'n' });
    await stream.first(1 + CALLS);
  });
  const { scripts, wakeUps } = cost(counts);
  expect(wakeUps).toBe(CALLS);
  // About once a second the holder reports how far its connections have come, all of them in one go.
  const reports = scripts - CALLS;
  expect(reports).toBeGreaterThanOrEqual(0);
  expect(reports).toBeLessThanOrEqual(Math.ceil((performance.now() - began) / 900));
});

// Each such stream had a message of its own: with 200 of them, 1,200 scripts and as many publications per minute.
it('200 streams whose calls run on another node are checked with one message per 100 of them', async () => {
  const prefix = uniquePrefix();
  const [executor, holder] = await cluster.mount({
    ...{ redis: own.server.url, leaseMs: LEASE_MS, prefix },
  });
  const client = newClient();
  await client.initialize(executor.url);
  const STREAMS = 200;
  for (let at = 0; at < STREAMS; at += 1) {
    const running = await holdTool(client, executor, `away${at}`);
    const { id } = await running.stream.priming();
    running.stream.close();
    const resumed = await client.listen(holder.url, id === undefined ? {} : { lastEventId: id });
    await resumed.comment();
  }
  const subscriber = new Redis(own.server.url);
  const checks: number[] = [];
  try {
    const asked = new Promise<void>((resolve) => {
      subscriber.on('message', (_: string, text: string) => {
        const [, type, ...names] = text.trim().split(' ');
        if (type !== 'check') return;
        checks.push(names.length / 2);
        if (checks.reduce((sum, count) => sum + count, 0) >= STREAMS) resolve();
      });
    });
    await subscriber.subscribe(`${prefix}:inbox:${executor.nodeId}`);
    await asked;
  } finally {
    subscriber.disconnect();
  }
  expect(checks).toEqual([100, 100]);
  await executor.call('release', { key: 'away0', text: 'done' });
}, 60_000);

/** Resolves when each of the nodes has renewed its lease so many times; returns how often each one did. */
async function renewals(prefix: string, nodes: readonly TestNode[], times: number) {
  const subscriber = new Redis(own.server.url);
  const counts = new Map<string, number>();
  try {
    const done = new Promise<void>((resolve) => {
      subscriber.on('message', (channel: string, text: string) => {
        if (!text.startsWith('1 probe ')) return;
        counts.set(channel, (counts.get(channel) ?? 0) + 1);
        if (counts.size === nodes.length && Math.min(...counts.values()) >= times) resolve();
      });
    });
    await subscriber.subscribe(...nodes.map(({ nodeId }) => `${prefix}:inbox:${nodeId}`));
    await done;
    return [...counts.values()].reduce((sum, count) => sum + count, 0);
  } finally {
    subscriber.disconnect();
  }
}

it('200 idle sessions cost nothing: Redis gets only the leases of the nodes, and no node keeps a replica', async () => {
  const prefix = uniquePrefix();
  const nodes = await cluster.mount({
    ...{ redis: own.server.url, prefix },
    // On a busy machine a shorter one may run out.
    leaseMs: 6_000,
    replicaIdleMs: 1_000,
  });
  const clients = Array.from({ length: 200 }, () => newClient());
  await Promise.all(
    clients.map(async (client, at) => {
      const node = nodes[at % 3] as TestNode;
      await client.initialize(node.url);
    }),
  );
  await expect
    .poll(
      async () => {
        const all = await Promise.all(nodes.map((node) => node.call('health')));
        return all.map(({ sessions }) => sessions);
      },
      { timeout: 10_000 },
    )
    .toEqual([0, 0, 0]);
  // What a node says of a server object that it has discarded may still be on its way.
  const scripts = async () => cost(await commandsDuring(() => sleep(300))).scripts;
  await expect.poll(scripts).toBe(0);

  let renewed = 0;
  const counts = await commandsDuring(async () => {
    renewed = await renewals(prefix, nodes, 3);
  });
  const { pexpire = 0, publish = 0, subscribe = 0, ...rest } = counts;
  // Ours, to see them.
  expect(subscribe).toBe(1);
  // A renewal that was under way at either end may be seen by one counter only.
  expect(Math.abs(pexpire - renewed)).toBeLessThanOrEqual(nodes.length);
  expect(Math.abs(publish - renewed)).toBeLessThanOrEqual(nodes.length);
  expect(cost(rest)).toEqual({ scripts: 0, wakeUps: 0 });
  const ofOurClients = /^(client|hello|info|ping|auth|select)/;
  expect(Object.keys(rest).filter((name) => !ofOurClients.test(name))).toEqual([]);

  // They live, and any node serves them.
  const [, other] = nodes;
  expect(await callTool(clients[0] as (typeof clients)[0], other, 'echo', { text: 'hi' })).toBe(
    'hi',
  );
});

it('an open stream costs at most one refresh per third of the session lifetime, and keeps its session alive', async () => {
  const sessionTtlMs = 2_400;
  const nodes = await cluster.mount({
    ...{ redis: own.server.url, leaseMs: LEASE_MS, sessionTtlMs },
  });
  const [born, holder] = nodes;
  const clients = Array.from({ length: 30 }, () => newClient());
  await Promise.all(
    clients.map(async (client) => {
      await client.initialize(born.url);
      await client.listen(holder.url);
    }),
  );
  const began = performance.now();
  const counts = await commandsDuring(
    () => new Promise((resolve) => setTimeout(resolve, 3 * sessionTtlMs)),
  );
  const thirds = (performance.now() - began) / (sessionTtlMs / 3);
  const { scripts } = cost(counts);
  expect(scripts).toBeLessThanOrEqual(clients.length * Math.ceil(thirds));
  // As often as that, or a single failure would end the session.
  expect(scripts).toBeGreaterThanOrEqual(clients.length * 6);
  const [, , third] = nodes;
  for (const client of clients) {
    expect(await callTool(client, third, 'echo', { text: 'alive' })).toBe('alive');
  }
});
