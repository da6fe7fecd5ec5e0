/** Messages from the server that other systems lose or misdirect. The comment of each test says where that was seen. */
import { expect, it } from 'vitest';
import { Redis } from 'ioredis';
import type { RequestId } from '../support/mcp-http.js';
import { answers, hasMethod, notification, request } from '../support/mcp-http.js';
import { redisUrl, uniquePrefix } from '../support/redis-fixture.js';
import { callTool, clientOf, resultText, startTool, useCluster } from './support/cluster.js';

const cluster = useCluster();

const accept = (name: string) => ({ action: 'accept', content: { name } });
const sampled = { model: 'm', role: 'assistant', content: { type: 'text', text: 'sampled' } };

// platformatic/mcp: a GET on a node that did not run `initialize` is deaf, and a reconnect on the same node too.
it('a GET stream on any node shows messages of every node, and so does its successor', async () => {
  const [a, b, c] = await cluster.mount();
  const client = await clientOf(a);
  const { sessionId = '' } = client;
  const first = await client.listen(b.url);
  await c.call('notify', { sessionId, data: 'one' });
  expect((await first.next()).message?.params?.data).toBe('one');
  first.close();
  const second = await client.listen(b.url, { lastEventId: first.lastEventId ?? '' });
  await a.call('notify', { sessionId, data: 'two' });
  expect((await second.next()).message?.params?.data).toBe('two');
});

// mcp-use v1, tmcp, FrontMCP: with pub/sub only, what nobody is subscribed to is gone; an elicitation with no GET hangs.
it('a message without a listener waits for the next GET', async () => {
  const [a, b, c] = await cluster.mount();
  const client = await clientOf(a);
  const { sessionId = '' } = client;
  await b.call('notify', { sessionId, data: 'early' });
  const asked = a.call('sampleAlone', { sessionId, text: 'hello?' });
  const stream = await client.listen(c.url);
  expect((await stream.next()).message?.params?.data).toBe('early');
  const { message } = await stream.next(hasMethod('sampling/createMessage'));
  await client.respond(b.url, message?.id ?? '', sampled);
  expect(await asked).toEqual(sampled);
});

// mcp-use v1, FrontMCP, C#: request ids count from 0 on each node, so an answer resolves another node's promise.
// FrontMCP: one pending elicitation per session, a second one cancels the first.
it('concurrent questions of three nodes get their own answers, on whichever node these arrive', async () => {
  const [a, b, c] = await cluster.mount();
  const client = await clientOf(a);
  const nodes = [a, b, c];
  const calls = await Promise.all(
    [...nodes, ...nodes].map((node) => startTool(client, node, 'elicit')),
  );
  const questions = await Promise.all(
    calls.map(
      async ({ stream: sse }) => (await sse.next(hasMethod('elicitation/create'))).message?.id,
    ),
  );
  expect(new Set(questions).size).toBe(6);
  // In another order than they were asked, each to another node than the one that asked.
  for (const at of [4, 0, 5, 2, 1, 3]) {
    const node = nodes[(at + 1) % 3] ?? a;
    await client.respond(node.url, questions[at] as RequestId, accept(`name ${at}`));
  }
  for (const [at, { id, stream: sse }] of calls.entries()) {
    expect(resultText((await sse.next(answers(id))).message)).toContain(`name ${at}`);
  }
});

// mcp-use v1 and FrontMCP write the route of an answer after the question went out: a fast answer finds none.
it('an answer that comes at once reaches the node that asked', async () => {
  const [a, b] = await cluster.mount();
  const client = await clientOf(a);
  for (let turn = 0; turn < 30; turn += 1) {
    const { id, stream: sse } = await startTool(client, a, 'elicit');
    const { message } = await sse.next(hasMethod('elicitation/create'));
    await client.respond(b.url, message?.id ?? '', accept(`${turn}`));
    expect(resultText((await sse.next(answers(id))).message)).toContain(`"${turn}"`);
  }
});

// An id is no credential: the answer counts only in the session that was asked.
it('an answer from another session gets 202 and is ignored', async () => {
  const [a, b] = await cluster.mount();
  const [asked, stranger] = [await clientOf(a), await clientOf(a)];
  const { id, stream: sse } = await startTool(asked, a, 'elicit');
  const { message } = await sse.next(hasMethod('elicitation/create'));
  await stranger.respond(b.url, message?.id ?? '', accept('Eve'));
  await asked.respond(b.url, message?.id ?? '', accept('Ada'));
  expect(resultText((await sse.next(answers(id))).message)).toContain('Ada');
});

// example-remote-server: sampling outside of a call goes to a channel that nobody reads.
it('a question outside of any call goes to the standalone stream', async () => {
  const [a, b, c] = await cluster.mount();
  const client = await clientOf(a);
  const stream = await client.listen(b.url);
  const asked = a.call('sampleAlone', { sessionId: client.sessionId ?? '', text: 'hello?' });
  const { message } = await stream.next(hasMethod('sampling/createMessage'));
  await client.respond(c.url, message?.id ?? '', sampled);
  expect(await asked).toEqual(sampled);
});

// ContextForge: forwarded messages are handled one at a time, so a slow tool blocks the answer that it waits for.
it('a slow tool delays no answer and no cancellation for its node', async () => {
  const [a, b] = await cluster.mount();
  const client = await clientOf(a);
  const slow = await startTool(client, a, 'count', { steps: 1000, ms: 20 });
  await slow.stream.next();
  const { id, stream: sse } = await startTool(client, a, 'elicit');
  const { message } = await sse.next(hasMethod('elicitation/create'));
  await client.respond(b.url, message?.id ?? '', accept('Ada'));
  expect(resultText((await sse.next(answers(id))).message)).toContain('Ada');
  await client.notify(b.url, 'notifications/cancelled', { requestId: slow.id });
  await slow.stream.untilEnded();
});

// ContextForge, mcp-use v1, platformatic/mcp: a cancellation on another node is acknowledged and dropped.
it('a cancellation on any node aborts the handler and ends the stream without an answer, also for request id 0', async () => {
  const [a, b, c] = await cluster.mount();
  const client = await clientOf(a);
  for (const id of [0, 77, 'text']) {
    const params = { name: 'count', arguments: { steps: 1000, ms: 20 } };
    const { sse } = await client.post(a.url, { jsonrpc: '2.0', id, method: 'tools/call', params });
    await sse.next();
    sse.close();
    // The follower is on B by now, the handler on A, and the cancellation comes in on C.
    const resumed = await client.listen(b.url, { lastEventId: sse.lastEventId ?? '' });
    await client.post(c.url, notification('notifications/cancelled', { requestId: id }));
    expect(await resumed.untilEnded()).toBe('end');
    expect(resumed.messages.filter((message) => message.id === id)).toEqual([]);
  }
  await a.until('aborted', 3);
});

it.each([
  ['is idle', false],
  // What comes in one piece was handed over in one turn: the answer overtook the progress, whose handlers start later.
  ['is held up meanwhile', true],
])('progress of the client reaches the node that waits, which %s', async (_, paused) => {
  const [a, b, c] = await cluster.mount();
  const client = await clientOf(a);
  const { id, stream: sse } = await startTool(client, b, 'patient');
  const { message } = await sse.next(hasMethod('sampling/createMessage'));
  const { progressToken } = message?.params?._meta as { progressToken: string };
  if (paused) b.process.kill('SIGSTOP');
  for (const progress of [1, 2]) {
    await client.notify(c.url, 'notifications/progress', { progressToken, progress });
  }
  await client.respond(a.url, message?.id ?? '', sampled);
  if (paused) b.process.kill('SIGCONT');
  const { message: answer } = await sse.next(answers(id));
  expect(resultText(answer)).toBe('[1,2]');
});

it("a server on one node gets the client's roots from an answer on another", async () => {
  const [a, b, c] = await cluster.mount();
  const client = await clientOf(a);
  const { id, stream: sse } = await startTool(client, b, 'roots');
  const { message } = await sse.next(hasMethod('roots/list'));
  await client.respond(c.url, message?.id ?? '', { roots: [{ uri: 'file:///here' }] });
  expect(resultText((await sse.next(answers(id))).message)).toContain('file:///here');
});

it('a broadcast reaches each session that it is for once', async () => {
  const [a, b, c] = await cluster.mount();
  const [one, two] = [await clientOf(a), await clientOf(b)];
  await one.request(c.url, 'resources/subscribe', { uri: 'test://one' });
  const streams = [await one.listen(b.url), await two.listen(c.url)];
  await c.call('resourceUpdated', { uri: 'test://one' });
  await a.call('toolsChanged');
  const changed = hasMethod('notifications/tools/list_changed');
  await Promise.all(streams.map((stream) => stream.next(changed)));
  const methods = streams.map(({ messages }) => messages.map(({ method }) => method));
  expect(methods).toEqual([
    ['notifications/resources/updated', 'notifications/tools/list_changed'],
    ['notifications/tools/list_changed'],
  ]);
});

// example-remote-server: a Redis connection per open request.
it('a node has one subscriber and one command connection, however many requests are open', async () => {
  const prefix = uniquePrefix();
  const [a, b] = await cluster.mount({ prefix });
  const client = await clientOf(a);
  const redis = new Redis(redisUrl());
  const clients = async () => {
    const list = (await redis.client('LIST')) as string;
    return list.trim().split('\n').length;
  };
  const before = await clients();
  const calls = await Promise.all(
    Array.from({ length: 20 }, () => startTool(client, b, 'count', { steps: 50, ms: 20 })),
  );
  await Promise.all(calls.map(({ stream: sse }) => sse.next()));
  expect(await clients()).toBe(before);
  expect(prefix).toBeDefined();
  redis.disconnect();
  const ids = request(0, 'ping'); // the session is none the worse for it
  expect((await client.post(a.url, ids)).status).toBe(200);
  expect(await callTool(client, b, 'echo', { text: 'fine' })).toBe('fine');
  // A node that closes while they run says that it could not deliver their notifications.
  await Promise.all(calls.map(({ id, stream: sse }) => sse.next(answers(id))));
});
