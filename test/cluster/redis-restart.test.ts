/** A Redis that is killed and comes back, with or without its data. */
import { expect, it, onTestFinished } from 'vitest';
import { startRedis, type RedisServer } from '../rig/redis.js';
import { answers, request } from '../support/mcp-http.js';
import { callTool, holdTool, logged, newClient, says, useCluster } from './support/cluster.js';
import { lost, startLoad } from './support/load.js';

const cluster = useCluster();

const COMMAND_TIMEOUT_MS = 1_000;

async function start(...args: string[]): Promise<RedisServer> {
  const redis = await startRedis({ args });
  // After the nodes: one that can't take its leave waits for Redis a while.
  onTestFinished(() => redis.stop());
  return redis;
}

const mount = (redis: RedisServer) =>
  cluster.mount({ redis: redis.url, mayComplain: true, commandTimeoutMs: COMMAND_TIMEOUT_MS });

it('sessions, streams and running calls go on after a restart with an append-only file', async () => {
  const redis = await start('--appendonly', 'yes', '--appendfsync', 'everysec');
  const nodes = await mount(redis);
  const [a, b, c] = nodes;
  const idle = newClient();
  await idle.initialize(c.url);
  const client = newClient();
  await client.initialize(a.url);
  const held = await holdTool(client, b, 'through the restart');
  const load = startLoad(nodes, client);
  await load.more(50);
  // A process that is killed has handed over what it wrote; only a machine that goes down loses a second of it.
  await redis.restart('SIGKILL');
  await load.more(50);
  const ledger = await load.stop();
  expect(ledger.surprises).toEqual([]);
  expect(lost(ledger)).toEqual([]);
  expect(new Set(ledger.shown).size).toBe(ledger.shown.length);
  expect(ledger.calls.longestMs).toBeLessThan(COMMAND_TIMEOUT_MS + 1_500);
  await b.call('release', { key: 'through the restart', text: 'done' });
  expect(await held.text()).toBe('done');
  expect(await callTool(idle, a, 'echo', { text: 'still here' })).toBe('still here');
}, 40_000);

it('no living node counts as dead after a restart that takes longer than a lease', async () => {
  const redis = await start('--appendonly', 'yes');
  const nodes = await cluster.mount({
    ...{ redis: redis.url, mayComplain: true, commandTimeoutMs: 500, leaseMs: 1_500 },
  });
  const [a, b] = nodes;
  const client = newClient();
  await client.initialize(a.url);
  const held = await holdTool(client, a, 'long');
  // Followed on another node, which therefore looks after the one that runs it.
  const { id: lastEventId = '' } = await held.stream.priming();
  held.stream.close();
  const followed = await client.listen(b.url, { lastEventId });
  await followed.comment();
  await redis.halt('SIGKILL');
  for (const node of nodes) {
    await expect.poll(async () => (await node.call('health')).status).toBe('down');
  }
  await new Promise((resolve) => setTimeout(resolve, 2_500));
  await redis.start();
  for (const node of nodes) {
    await expect
      .poll(async () => (await node.call('health')).status, { timeout: 5_000 })
      .toBe('ready');
  }
  // Two looks of the follower's node, which are what it takes to declare another one dead.
  await new Promise((resolve) => setTimeout(resolve, 2_500));
  expect(followed.events).toEqual([]);
  await a.call('release', { key: 'long', text: 'alive' });
  const { message } = await followed.next(answers(held.id));
  expect(message).toMatchObject({ result: { content: [{ text: 'alive' }] } });
}, 40_000);

it('no stream, replica or call is left after a restart without data', async () => {
  const redis = await start();
  const nodes = await mount(redis);
  const [a, b, c] = nodes;
  const [idle, listening, calling] = [newClient(), newClient(), newClient()];
  // Nothing of it is followed or runs: only the lease that is gone can tell.
  await idle.initialize(a.url);
  await callTool(idle, b, 'echo', { text: 'x' });
  await listening.initialize(b.url);
  const stream = await listening.listen(c.url);
  await calling.initialize(c.url);
  const held = await holdTool(calling, a, 'lost');
  await redis.restart('SIGKILL');

  expect(await stream.untilEnded(15_000)).toBe('end');
  await held.stream.untilEnded(15_000);
  await a.until('aborted:lost');
  for (const node of nodes) {
    await expect
      .poll(() => node.call('health'), { timeout: 10_000 })
      .toMatchObject({ status: 'ready', sessions: 0, streams: 0, inFlight: 0 });
    for (const client of [idle, listening, calling]) {
      expect((await client.post(node.url, request(90, 'tools/list'))).status).toBe(404);
    }
  }
  const again = newClient();
  await again.initialize(b.url);
  const fresh = await again.listen(c.url);
  await a.call('notify', { sessionId: again.sessionId ?? '', data: 'hello' });
  await fresh.next(says('hello'));
  expect(logged(fresh)).toEqual(['hello']);
}, 40_000);
