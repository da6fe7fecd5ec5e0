/** Real sentinels replace a dead master by its replica, under load. */
import { Redis } from 'ioredis';
import { beforeEach, expect, it, onTestFinished } from 'vitest';
import { request } from '../support/mcp-http.js';
import { startSentinels, type Sentinels } from '../support/redis-sentinels.js';
import { callTool, holdTool, logged, newClient, says, useCluster } from './support/cluster.js';
import { lost, startLoad } from './support/load.js';

const cluster = useCluster();

let sentinels: Sentinels;
beforeEach(async () => {
  sentinels = await startSentinels();
  // After the nodes: one that can't take its leave waits for Redis a while.
  onTestFinished(() => sentinels.stop());
}, 30_000);

const mount = () =>
  cluster.mount({ sentinels: sentinels.ports, mayComplain: true, commandTimeoutMs: 1_000 });

const promoted = () =>
  expect.poll(sentinels.masterPort, { timeout: 15_000, interval: 20 }).toBe(sentinels.replica.port);

it('clients resume by themselves when a master has died under load', async () => {
  const nodes = await mount();
  const client = newClient();
  await client.initialize(nodes[0].url);
  const load = startLoad(nodes, client);
  await load.more(50);

  const killedAt = performance.now();
  await sentinels.master.halt('SIGKILL');
  await promoted();
  await load.more(50);
  const ledger = await load.stop();

  expect(ledger.surprises).toEqual([]);
  // No call that was taken is without its end, and none waited for longer than it may.
  expect(ledger.calls.longestMs).toBeLessThan(1_000 + 1_500);
  expect(ledger.gapMs).toBeLessThan(10_000);
  expect(new Set(ledger.shown).size).toBe(ledger.shown.length);
  expect(ledger.shown).toEqual(ledger.shown.toSorted((a, b) => a - b));
  // Redis acknowledges before its replica knows: only what was stored in its last moments can be missing.
  for (const number of lost(ledger)) {
    expect(killedAt - (ledger.stored.get(number) ?? 0)).toBeLessThan(500);
  }
  for (const node of nodes) {
    await expect.poll(async () => (await node.call('health')).status).toBe('ready');
  }
}, 50_000);

it('each client learns what was lost with a master before its replica had it', async () => {
  const [a, b, c] = await mount();
  const client = newClient();
  await client.initialize(a.url);
  const sessionId = client.sessionId ?? '';
  const stream = await client.listen(b.url);
  await a.call('push', { sessionId, from: 1, count: 3, as: 'kept' });
  await stream.first(3);
  const gone = newClient();
  await gone.initialize(c.url);
  const resuming = newClient();
  await resuming.initialize(b.url);
  const own = resuming.sessionId ?? '';
  await b.call('push', { sessionId: own, from: 1, as: 'kept' });
  const first = await resuming.listen(c.url);
  await first.first(1);
  const master = new Redis(sentinels.master.url);
  await master.set('mark', '1');
  expect(await master.wait(1, 5_000)).toBe(1);

  // From here on the replica gets nothing, not even into its socket's buffer.
  process.kill(sentinels.replica.pid, 'SIGSTOP');
  await master.call('CLIENT', 'KILL', 'TYPE', 'replica');
  const late = newClient();
  await late.initialize(a.url);
  await a.call('push', { sessionId, from: 1, count: 3, as: 'lost' });
  await b.call('push', { sessionId: own, from: 1, count: 3, as: 'lost' });
  const call = await holdTool(client, c, 'opened too late');
  await stream.first(6);
  await first.first(4);
  const lastEventId = first.lastEventId ?? '';
  first.close();
  const ended = await gone.delete(b.url);
  expect(ended.status).toBe(200);
  master.disconnect();
  await sentinels.master.halt('SIGKILL');
  process.kill(sentinels.replica.pid, 'SIGCONT');
  await promoted();

  // A stream that stayed open, and one that is resumed with a cursor of which the log knows nothing: on with what comes.
  await a.call('push', { sessionId, from: 1, count: 3, as: 'new' });
  await stream.next(says('new 3'));
  expect(logged(stream)).toEqual([
    ...[1, 2, 3].map((n) => `kept ${n}`),
    ...[1, 2, 3].map((n) => `lost ${n}`),
    ...[1, 2, 3].map((n) => `new ${n}`),
  ]);
  await b.call('push', { sessionId: own, from: 1, as: 'new' });
  const second = await resuming.listen(a.url, { lastEventId });
  await second.next(says('new 1'));
  expect(logged(second)).toEqual(['new 1']);
  // A call that the log has never seen: its connection ends, and its answer is nobody's.
  expect(await call.stream.untilEnded(15_000)).toBe('end');
  expect(call.stream.events).toEqual([]);
  await c.call('release', { key: 'opened too late' }).catch(() => undefined);
  // A session that is not there any more: 404, and the client initializes anew.
  for (const node of [b, c, a]) {
    const answer = await late.post(node.url, request(50, 'tools/list'));
    expect(answer.status).toBe(404);
  }
  // One that was deleted is back.
  expect((await gone.post(b.url, request(50, 'tools/list'))).status).toBe(200);
  expect(await callTool(client, c, 'echo', { text: 'here' })).toBe('here');
}, 50_000);
