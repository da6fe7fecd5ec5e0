/** All clients come back at once: after a cut of the network, or when a node that held many connections is gone. */
import { expect, it } from 'vitest';
import { useFileRedis } from '../support/file-redis.js';
import { commandCounts, commandsBetween } from '../support/commandstats.js';
import { RawClient } from '../support/mcp-http.js';
import { logged, useCluster, type TestNode } from './support/cluster.js';

const cluster = useCluster();
const MB = 1024 * 1024;
const STORM = 2_000;
const SESSIONS = 200;

const own = useFileRedis();
async function memoryOf(node: TestNode): Promise<number> {
  const memory = await node.process.call<{ heapUsed: number; external: number }>('memory');
  return memory.heapUsed + memory.external;
}

it('2,000 concurrent resumes, ten for each session, are answered, and each session has one stream with all messages', async () => {
  const nodes = await cluster.mount({ redis: own.server.url, leaseMs: 600_000 });
  const clients: { client: RawClient; cursor: string; sessionId: string }[] = [];
  for (let at = 0; at < SESSIONS; at += 1) {
    const client = new RawClient();
    const node = nodes[at % 3] as TestNode;
    await client.initialize(node.url);
    const stream = await client.listen(node.url);
    const { id = '' } = await stream.priming();
    clients.push({ client, cursor: id, sessionId: client.sessionId ?? '' });
    stream.close();
  }
  // What each of them has missed.
  for (const [at, { sessionId }] of clients.entries()) {
    await (nodes[at % 3] as TestNode).call('push', { sessionId, from: 0, count: 3, as: 'missed' });
  }
  const before = await Promise.all(nodes.map(memoryOf));
  const counted = await commandCounts(own.admin);
  const tries = await Promise.all(
    Array.from({ length: STORM }, async (_, at) => {
      const { client, cursor } = clients[at % SESSIONS] as (typeof clients)[0];
      const node = nodes[(at + Math.floor(at / SESSIONS)) % 3] as TestNode;
      const answer = await client.get(node.url, { lastEventId: cursor });
      // Overtaken by a later one, or shown all there is.
      const { stream } = answer;
      await Promise.race([stream?.first(3), stream?.untilEnded()]);
      return { status: answer.status, stream, of: at % SESSIONS };
    }),
  );
  const counts = commandsBetween(counted, await commandCounts(own.admin));
  const { evalsha = 0, eval: whole = 0, publish = 0 } = counts;

  expect(new Set(tries.map(({ status }) => status))).toEqual(new Set([200]));
  const told = new Set<number>();
  for (const { stream, of } of tries) {
    const texts = stream === undefined ? [] : logged(stream).map(String);
    // Whoever is overtaken has had a beginning of it, never a gap.
    expect(texts).toEqual(['missed 0', 'missed 1', 'missed 2'].slice(0, texts.length));
    if (texts.length === 3) told.add(of);
  }
  expect(told.size).toBe(SESSIONS);
  await expect
    .poll(async () => {
      const health = await Promise.all(nodes.map((node) => node.call('health')));
      return health.reduce((sum, { streams }) => sum + streams, 0);
    })
    .toBe(SESSIONS);

  const growth = await Promise.all(nodes.map(memoryOf)).then((after) =>
    after.map((bytes, at) => bytes - (before[at] ?? 0)),
  );
  // Each: attach, read, and what gives up or takes over a claim.
  expect(evalsha + whole).toBeLessThan(8 * STORM);
  expect(publish).toBeLessThan(8 * STORM);
  expect(Math.max(...growth)).toBeLessThan(60 * MB);
  for (const { client } of clients) client.close();
}, 120_000);
