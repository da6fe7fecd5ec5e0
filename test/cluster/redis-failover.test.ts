/** A Redis Cluster whose masters are replaced and whose slots are moved, under load. */
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest';
import { startRedisCluster, type RedisCluster } from '../rig/redis.js';
import { uniquePrefix } from '../support/redis-fixture.js';
import { Slots } from '../support/slots.js';
import { callTool, newClient, useCluster, type Nodes } from './support/cluster.js';
import { lost, startLoad, type Ledger } from './support/load.js';

const cluster = useCluster();

let redis: RedisCluster;
let slots: Slots;
beforeAll(async () => {
  redis = await startRedisCluster({ masters: 3, replicas: true, nodeTimeoutMs: 1_000 });
  slots = new Slots(redis);
}, 40_000);
afterAll(async () => {
  slots.close();
  await redis.stop();
});

const COMMAND_TIMEOUT_MS = 1_000;

async function mount() {
  // The test before may have killed or replaced one.
  await slots.settled();
  const prefix = uniquePrefix();
  const nodes = await cluster.mount({
    ...{ redis: redis.urls[0] ?? '', redisCluster: true, prefix, mayComplain: true },
    commandTimeoutMs: COMMAND_TIMEOUT_MS,
  });
  const client = newClient();
  await client.initialize(nodes[0].url);
  return { nodes, client, key: `${prefix}:{${client.sessionId ?? ''}}` };
}

/** Checks what has to hold after every kind of trouble. */
async function check(ledger: Ledger, nodes: Nodes): Promise<void> {
  expect(ledger.surprises).toEqual([]);
  expect(ledger.calls.longestMs).toBeLessThan(COMMAND_TIMEOUT_MS + 1_500);
  expect(new Set(ledger.shown).size).toBe(ledger.shown.length);
  expect(ledger.shown).toEqual(ledger.shown.toSorted((a, b) => a - b));
  for (const node of nodes) {
    await expect.poll(async () => (await node.call('health')).status).toBe('ready');
  }
}

it('a planned failover of a master loses nothing', async () => {
  const { nodes, client, key } = await mount();
  const load = startLoad(nodes, client);
  await load.more(30);
  const master = await slots.masterOf(key);
  const replica = await slots.replicaOf(master);
  await slots.admin(replica).call('CLUSTER', 'FAILOVER');
  await expect
    .poll(async () => (await slots.masterOf(key)).port, { timeout: 10_000 })
    .toBe(replica.port);
  await load.more(50);
  const ledger = await load.stop();
  await check(ledger, nodes);
  expect(lost(ledger)).toEqual([]);
  expect(ledger.calls.refused).toBe(0);
}, 40_000);

it('clients resume by themselves when a master has died and was replaced', async () => {
  const { nodes, client, key } = await mount();
  const load = startLoad(nodes, client);
  await load.more(30);
  const master = await slots.masterOf(key);
  const killedAt = performance.now();
  await master.halt('SIGKILL');
  onTestFinished(() => master.start());
  await load.more(50);
  const ledger = await load.stop();
  await check(ledger, nodes);
  expect(ledger.gapMs).toBeLessThan(15_000);
  // Redis acknowledges before its replica knows: only what was stored in its last moments can be missing.
  for (const number of lost(ledger)) {
    expect(killedAt - (ledger.stored.get(number) ?? 0)).toBeLessThan(500);
  }
}, 40_000);

it.each([
  ['soon', 100],
  ['longer than a command may take', 1_500],
])(
  'a move of a slot loses nothing, with its keys moved %s after the other',
  async (_, pauseMs) => {
    const { nodes, client, key } = await mount();
    const load = startLoad(nodes, client);
    await load.more(30);
    const from = await slots.masterOf(key);
    const others = await Promise.all(
      ['a', 'b', 'c', 'd', 'e', 'f'].map((name) => slots.masterOf(name)),
    );
    const to = others.find((server) => server !== from);
    if (to === undefined) throw new Error('There is no other master');
    await slots.move(key, to, pauseMs);
    expect(await slots.masterOf(key)).toBe(to);
    await load.more(50);
    const ledger = await load.stop();
    await check(ledger, nodes);
    expect(lost(ledger)).toEqual([]);
    // While half of a session is here and half of it there, nobody can work on it.
    if (pauseMs < COMMAND_TIMEOUT_MS / 2) expect(ledger.calls.refused).toBe(0);
    expect(await callTool(client, nodes[2], 'echo', { text: 'moved' })).toBe('moved');
  },
  40_000,
);
