/** Resuming, as other systems get it wrong. The comment of each test says where that was seen. */
import { expect, it } from 'vitest';
import { answers, RawClient } from '../support/mcp-http.js';
import { connectRedis, uniquePrefix } from '../support/redis-fixture.js';
import { clientOf, holdTool, resultText, says, startTool, useCluster } from './support/cluster.js';

const cluster = useCluster();

// The SDK with one shared event store (frontmcp GHSA-84j6-jc92-77jm, fastmcp PR #4402): every GET stream has the same
// name, so session B resumes with its own cursor and receives A's messages.
it('a resumed stream shows its own session only, and a cursor of another session gets 400', async () => {
  const [a, b, c] = await cluster.mount();
  const [ada, eve] = [await clientOf(a), await clientOf(a)];
  const [adas, eves] = [await ada.listen(b.url), await eve.listen(b.url)];
  await c.call('notify', { sessionId: ada.sessionId ?? '', data: 'for ada' });
  await c.call('notify', { sessionId: eve.sessionId ?? '', data: 'for eve' });
  await Promise.all([adas.next(), eves.next()]);
  eves.close();
  const foreign = await eve.get(c.url, { lastEventId: adas.lastEventId ?? '' });
  expect(foreign.status).toBe(400);
  await c.call('notify', { sessionId: ada.sessionId ?? '', data: 'more for ada' });
  await c.call('notify', { sessionId: eve.sessionId ?? '', data: 'more for eve' });
  const resumed = await eve.listen(a.url, { lastEventId: eves.lastEventId ?? '' });
  await resumed.next();
  expect(resumed.messages.map(({ params }) => params?.data)).toEqual(['more for eve']);
});

// mcp-db: ids of two streams collide in one index, and the wrong stream is replayed.
it('a resumed stream shows no other stream of its session', async () => {
  const [a, b, c] = await cluster.mount();
  const client = await clientOf(a);
  const listener = await client.listen(c.url);
  const one = await holdTool(client, a, 'one');
  const two = await holdTool(client, b, 'two');
  const say = async (from: number, to: number): Promise<void> => {
    for (let n = from; n <= to; n += 1) {
      await a.call('say', { key: 'one', data: n });
      await b.call('say', { key: 'two', data: `of two, ${n}` });
    }
  };
  await say(1, 2);
  await c.call('notify', { sessionId: client.sessionId ?? '', data: 'standalone' });
  await Promise.all([one.stream.first(2), two.stream.first(2), listener.next()]);
  one.stream.close();
  await say(3, 4);
  const resumed = await client.listen(b.url, { lastEventId: one.stream.lastEventId ?? '' });
  await say(5, 6);
  await a.call('release', { key: 'one', text: 'one is done' });
  expect(resultText((await resumed.next(answers(one.id))).message)).toBe('one is done');
  await resumed.untilEnded();
  const shown = [...one.stream.messages, ...resumed.messages].flatMap(
    ({ params }) => params?.data ?? [],
  );
  expect(shown).toEqual([1, 2, 3, 4, 5, 6]);
  await b.call('release', { key: 'two' });
});

// platformatic/mcp: an id is read, incremented and written: two sends give one entry.
// C# SDK: the sequence restarts at 0 on a new node.
it('two nodes that send at the same time make two entries in one sequence', async () => {
  const [a, b, c] = await cluster.mount();
  const client = await clientOf(a);
  const { sessionId = '' } = client;
  const stream = await client.listen(c.url);
  const said = Array.from({ length: 40 }, (_, n) =>
    (n % 2 === 0 ? a : b).call('notify', { sessionId, data: n }),
  );
  await Promise.all(said);
  const events = await stream.first(40);
  expect(new Set(events.map(({ id }) => id)).size).toBe(40);
  expect(new Set(events.map(({ message }) => message?.params?.data)).size).toBe(40);
});

// The SDK v1: on a node that does not run the request a resumed stream stays open and silent.
it('a stream is resumed live on another node while its handler runs', async () => {
  const [a, b, c] = await cluster.mount();
  const client = await clientOf(a);
  const { id, stream: sse } = await holdTool(client, a, 'live');
  const say = (n: number): Promise<void> => a.call('say', { key: 'live', data: n });
  for (const n of [1, 2, 3]) await say(n);
  await sse.first(3);
  sse.close();
  await say(4);
  const second = await client.listen(b.url, { lastEventId: sse.lastEventId ?? '' });
  await second.first(1);
  await say(5);
  await second.first(2);
  second.close();
  await say(6);
  const third = await client.listen(c.url, { lastEventId: second.lastEventId ?? '' });
  await third.first(1);
  await say(7);
  await a.call('release', { key: 'live' });
  await third.next(answers(id));
  expect(await third.untilEnded()).toBe('end');
  const shown = [sse, second, third]
    .flatMap(({ messages }) => messages)
    .flatMap(({ params }) => params?.data ?? []);
  expect(shown).toEqual([1, 2, 3, 4, 5, 6, 7]);
});

it('a stream that has ended is replayed to its end and closed, and a cursor at its end finds nothing', async () => {
  const [a, b, c] = await cluster.mount();
  const client = await clientOf(a);
  const { id, stream: sse } = await startTool(client, a, 'count', { steps: 3, ms: 10 });
  await sse.untilEnded();
  const { id: cursor } = sse.primings[0] ?? {};
  const replay = await client.listen(b.url, { lastEventId: cursor ?? '' });
  expect(await replay.untilEnded()).toBe('end');
  expect(replay.messages).toEqual(sse.messages);
  expect(replay.messages.at(-1)?.id).toBe(id);
  expect((await client.get(c.url, { lastEventId: replay.lastEventId ?? '' })).status).toBe(204);
});

// ContextForge, Go: a cursor whose events are gone replays nothing and goes on, which is a silent gap.
it('a cursor older than the log gets 400, and one with nothing new does not', async () => {
  const [a, b, c] = await cluster.mount({ retention: { maxEvents: 20 } });
  const client = await clientOf(a);
  const { sessionId = '' } = client;
  const stream = await client.listen(a.url);
  await a.call('notify', { sessionId, data: 0 });
  await stream.next();
  stream.close();
  const quiet = await client.listen(b.url, { lastEventId: stream.lastEventId ?? '' });
  quiet.close();
  for (let n = 1; n <= 40; n += 1) await b.call('notify', { sessionId, data: n });
  const old = await client.get(c.url, { lastEventId: stream.lastEventId ?? '' });
  expect(old.status).toBe(400);
  // A client that starts anew gets what there is.
  const fresh = await client.listen(c.url);
  await fresh.next();
});

// kotlin-sdk #715, LibreChat PR #14816, auto-mobile #1942: after a drop the new GET gets 409 until the dead one times out.
it('a newer GET takes the stream over from another node, and each message is shown once', async () => {
  const [a, b, c] = await cluster.mount();
  const client = await clientOf(a);
  const { sessionId = '' } = client;
  const old = await client.listen(a.url);
  await c.call('notify', { sessionId, data: 'one' });
  await old.next();
  const young = await client.listen(b.url);
  expect(await old.untilEnded()).toBe('end');
  await c.call('notify', { sessionId, data: 'two' });
  await young.next();
  expect(young.messages.map(({ params }) => params?.data)).toEqual(['two']);
});

it("a second GET gets 409 with standaloneStream: 'reject', and the stream when the first has gone", async () => {
  const [a, b] = await cluster.mount({ standaloneStream: 'reject' });
  const client = await clientOf(a);
  const old = await client.listen(a.url);
  const refused = await client.get(b.url);
  expect(refused.status).toBe(409);
  expect(refused.json().error?.message).toBe(
    'Conflict: Only one SSE stream is allowed per session',
  );
  old.close();
  await expect
    .poll(async () => {
      const again = await client.get(b.url);
      again.close();
      return again.status;
    })
    .toBe(200);
});

// agentdeals PR #1100, langfuse PR #15100: proxies cut idle streams and hold headers back until the first byte.
it('a stream starts with a byte at once, has keep-alives, and is ended at its age to be resumed', async () => {
  const [early] = await cluster.mount({ keepAliveMs: 600_000 });
  await (await (await clientOf(early)).listen(early.url)).comment();

  const [a, b] = await cluster.mount({ keepAliveMs: 100, maxStreamAgeMs: 700 });
  const client = await clientOf(a);
  const stream = await client.listen(b.url);
  await stream.comment(3);
  expect(await stream.untilEnded()).toBe('end');
  expect(stream.retries.length).toBeGreaterThan(0);
  const { id, stream: sse } = await holdTool(client, a, 'aged');
  expect(await sse.untilEnded()).toBe('end');
  expect(sse.messages).toEqual([]);
  await a.call('say', { key: 'aged', data: 'on' });
  const resumed = await client.listen(b.url, { lastEventId: sse.lastEventId ?? '' });
  await resumed.next(says('on'));
  expect(await resumed.untilEnded()).toBe('end');
  await a.call('release', { key: 'aged' });
  const last = await client.listen(a.url, { lastEventId: resumed.lastEventId ?? '' });
  await last.next(answers(id));
});

// A field note on one client that mishandled events without data.
it('priming events are sent to clients that know them, unless they are turned off', async () => {
  const [a] = await cluster.mount({ primingEvents: false });
  const client = await clientOf(a);
  const { stream: sse } = await startTool(client, a, 'echo', { text: 'x' });
  await sse.untilEnded();
  expect(sse.primings).toEqual([]);
  const older = new RawClient({ protocolVersion: '2025-06-18' });
  await older.initialize(a.url);
  const { stream: olders } = await startTool(older, a, 'echo', { text: 'x' });
  await olders.untilEnded();
  expect(olders.primings).toEqual([]);
  expect(olders.events[0]?.id).toBeDefined();
  older.close();
});

// Redis lost its end in a failover: the client's cursor is ahead of the log.
it('a cursor ahead of the log gets what comes next', async () => {
  const prefix = uniquePrefix();
  const [a, b] = await cluster.mount({ prefix });
  const client = await clientOf(a);
  const { sessionId = '' } = client;
  const stream = await client.listen(a.url);
  for (const data of [1, 2, 3]) await a.call('notify', { sessionId, data });
  await stream.first(3);
  stream.close();
  const redis = connectRedis();
  const key = `${prefix}:{${sessionId}}`;
  const entries = await redis.xrevrange(`${key}:events`, '+', '-', 'COUNT', 2);
  await redis.xdel(`${key}:events`, ...entries.map(([logId]) => logId));
  const kept = (await redis.xrange(`${key}:events`, '-', '+')).find(([, fields]) =>
    fields.includes('g'),
  );
  await redis.hset(`${key}:streams`, 'n:g', `1:${kept?.[0] ?? ''}`);
  const resumed = await client.listen(b.url, { lastEventId: stream.lastEventId ?? '' });
  await a.call('notify', { sessionId, data: 'new' });
  expect((await resumed.next()).message?.params?.data).toBe('new');
});
