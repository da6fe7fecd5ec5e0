/** Nodes and Redis, as other systems trip over them. The comment of each test says where that was seen. */
import { Redis } from 'ioredis';
import { beforeEach, expect, it, onTestFinished } from 'vitest';
import { startRedis } from '../rig/redis.js';
import type { RedisServer } from '../rig/redis.js';
import { answers, hasMethod, request } from '../support/mcp-http.js';
import type { TcpProxy } from '../support/tcp-proxy.js';
import { startTcpProxy } from '../support/tcp-proxy.js';
import { callTool, clientOf, resultText, startTool, useCluster } from './support/cluster.js';

const cluster = useCluster();

let server: RedisServer;
let proxy: TcpProxy;
let redisUrl: string;

beforeEach(async () => {
  server = await startRedis();
  proxy = await startTcpProxy({ target: { port: server.port } });
  redisUrl = `redis://127.0.0.1:${proxy.port}`;
  // After the nodes: one that can't take its leave waits for Redis a while.
  onTestFinished(async () => {
    await proxy.stop();
    await server.stop();
  });
});

// mcp-use v1: a Redis error reads as "no session", 404: one blip ends every session.
it('a node answers 503 with Retry-After while Redis is away, and its sessions go on afterwards', async () => {
  const [a, b] = await cluster.mount({
    redis: redisUrl,
    mayComplain: true,
    commandTimeoutMs: 700,
    keepAliveMs: 100,
  });
  const client = await clientOf(a);
  const stream = await client.listen(b.url);
  proxy.refuse();
  proxy.cut();
  for (const step of [
    () => client.post(a.url, request(50, 'tools/list')),
    () => client.get(a.url),
    () => client.delete(a.url),
    () => client.post(b.url, { jsonrpc: '2.0', method: 'notifications/initialized' }),
  ]) {
    const begin = Date.now();
    const answer = await step();
    expect(answer.status).toBe(503);
    expect(answer.headers['retry-after']).toBeDefined();
    expect(Date.now() - begin).toBeLessThan(700 + 1500);
  }
  const comments = stream.comments.length;
  await stream.comment(comments + 3); // it stays open, and is kept alive
  proxy.accept();
  await expect
    .poll(async () => (await client.post(a.url, request(51, 'tools/list'))).status, {
      timeout: 8000,
    })
    .toBe(200);
  await expect
    .poll(
      () =>
        a.call('notify', { sessionId: client.sessionId ?? '', data: 'back' }).then(
          () => true,
          () => false,
        ),
      {
        timeout: 8000,
      },
    )
    .toBe(true);
  expect((await stream.next(hasMethod('notifications/message'))).message?.params?.data).toBe(
    'back',
  );
});

// ioredis sends a command again whose reply was lost: two entries.
it('a step whose reply is lost takes effect once', async () => {
  const [a, b] = await cluster.mount({ redis: redisUrl, mayComplain: true });
  const client = await clientOf(a);
  const stream = await client.listen(b.url);
  for (let turn = 1; turn <= 5; turn += 1) {
    const lost = proxy.cutBeforeReply((data) => data.includes(`turn-${turn}`));
    await a.call('notify', { sessionId: client.sessionId ?? '', data: `turn-${turn}` });
    await lost;
    const called = proxy.cutBeforeReply((data) => data.includes(`echo-${turn}`));
    expect(await callTool(client, a, 'echo', { text: `echo-${turn}` })).toBe(`echo-${turn}`);
    await called;
  }
  await a.call('notify', { sessionId: client.sessionId ?? '', data: 'last' });
  await stream.next(({ message }) => message?.params?.data === 'last');
  expect(stream.messages.map(({ params }) => params?.data)).toEqual([
    ...[1, 2, 3, 4, 5].map((turn) => `turn-${turn}`),
    'last',
  ]);
});

// Redis pub/sub is at most once: what is published while a subscriber reconnects is lost.
it('messages from while the subscriber is away are read from the log', async () => {
  const [a, b] = await cluster.mount({ redis: redisUrl, mayComplain: true });
  const client = await clientOf(a);
  const { sessionId = '' } = client;
  const stream = await client.listen(b.url);
  for (let n = 1; n <= 60; n += 1) {
    if (n % 12 === 0) proxy.cut();
    await a.call('notify', { sessionId, data: n });
  }
  const events = await stream.first(60);
  expect(events.map(({ message }) => message?.params?.data)).toEqual(
    Array.from({ length: 60 }, (_, n) => n + 1),
  );
});

// Scripts that Redis has forgotten are sent again.
it('a session goes on after SCRIPT FLUSH and CLIENT KILL', async () => {
  const [a, b] = await cluster.mount({ redis: redisUrl, mayComplain: true });
  const client = await clientOf(a);
  const admin = new Redis(server.url);
  await admin.script('FLUSH');
  expect(await callTool(client, b, 'echo', { text: 'flushed' })).toBe('flushed');
  await admin.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
  await admin.call('CLIENT', 'KILL', 'TYPE', 'pubsub');
  expect(await callTool(client, b, 'echo', { text: 'killed' })).toBe('killed');
  admin.disconnect();
});

it('a running call ends with its result when Redis was away meanwhile', async () => {
  const [a] = await cluster.mount({ redis: redisUrl, mayComplain: true, commandTimeoutMs: 500 });
  const client = await clientOf(a);
  const { id, stream: sse } = await startTool(client, a, 'count', { steps: 10, ms: 50 });
  await sse.next();
  proxy.refuse();
  proxy.cut();
  await new Promise((resolve) => setTimeout(resolve, 1500));
  proxy.accept();
  const { message } = await sse.next(answers(id), 10_000);
  expect(resultText(message)).toBe('counted to 10');
  expect(sse.messages.flatMap(({ params }) => params?.data ?? [])).toEqual([
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10,
  ]);
});
