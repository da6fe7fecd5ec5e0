/**
 * What somebody who can write to Redis, but has no key of the codec, can make of it. Each test here is an attack that
 * succeeded: payloads were encrypted, and whose they were stood beside them in clear.
 */
import { SetLevelRequestSchema, SubscribeRequestSchema } from '@modelcontextprotocol/sdk/types.js';
import { randomBytes } from 'node:crypto';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startRedis, type RedisServer } from '../../demo/rig/redis.js';
import { redisBackplane } from '../../src/backplane/redis/redis.js';
import { aesGcmCodec, type AnynodeOptions } from '../../src/index.js';
import { notification, request } from '../support/mcp-http.js';
import { uniquePrefix } from '../support/redis-fixture.js';
import { scriptedServer } from './support/scripted-server.js';
import { openSession, rawClient, startNode } from './support/serve.js';

let server: RedisServer;
/** The attacker's. */
let redis: Redis;
beforeAll(async () => {
  server = await startRedis();
  redis = new Redis(server.url);
});
afterAll(async () => {
  redis.disconnect();
  await server.stop();
});

/** Two nodes with the same key. */
async function twoNodes(more: Partial<AnynodeOptions> = {}) {
  const prefix = uniquePrefix();
  const key = randomBytes(32);
  const start = () =>
    startNode({
      principal: (req) => req.get('x-user'),
      backplane: redisBackplane({ redis: server.url, prefix }),
      codec: aesGcmCodec({ keys: { k1: key }, current: 'k1' }),
      ...more,
    });
  const [a, b] = [await start(), await start()];
  const as = (user: string) => ({ headers: { 'x-user': user } });
  const alice = await openSession(a.url, as('alice'));
  /** Bob, with an account of his own, who uses the id of Alice's session. */
  const bob = rawClient(as('bob'));
  bob.sessionId = alice.sessionId;
  bob.protocolVersion = alice.client.protocolVersion;
  return { prefix, a, b, alice, bob, record: `${prefix}:{${alice.sessionId}}` };
}

describe('the principal of a session', () => {
  it('is not who Redis says that it is, on a node that knows the session and on one that does not', async () => {
    const { a, b, alice, bob, record } = await twoNodes();
    const { sessionId } = alice;
    await alice.client.request(a.url, 'ping');
    const principal = (await redis.hget(record, 'pr')) ?? '';
    expect(principal).toContain('alice');
    await redis.hset(record, 'pr', principal.replace('alice', 'bob'));
    for (const { url } of [a, b]) {
      expect((await bob.get(url)).status).toBe(404);
      expect((await bob.post(url, request(1, 'ping'))).status).toBe(404);
      expect((await bob.post(url, notification('notifications/x'))).status).toBe(404);
      expect((await alice.client.post(url, request(9, 'ping'))).status).toBe(404);
    }
    expect(await b.mcp.sessions.get(sessionId)).toBeUndefined();
    expect(b.logged.join('\n')).toContain('has been changed by something that is no node');
    // With what it was, all is well.
    await redis.hset(record, 'pr', principal);
    await alice.client.request(b.url, 'ping');
  });

  it.each([
    ['the seal of a session of his own', 'own'],
    ['no seal', 'none'],
    ['a made-up one', 'made up'],
  ])('cannot be sealed by him with %s', async (_, kind) => {
    const { prefix, b, bob, record } = await twoNodes();
    const own = await openSession(b.url, { headers: { 'x-user': 'bob' } });
    const his = await redis.hgetall(`${prefix}:{${own.sessionId}}`);
    const sealed = Object.keys(his).filter((field) => field.startsWith('seal'));
    await redis.hset(record, 'pr', his.pr ?? '');
    for (const field of sealed) {
      if (kind === 'own') await redis.hset(record, field, his[field] ?? '');
      else await redis.hdel(record, field);
    }
    if (kind === 'made up')
      await redis.hset(record, 'seal', 'aes1.k1.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA');
    for (const answer of [await bob.post(b.url, request(1, 'ping')), await bob.get(b.url)]) {
      expect(answer.status).toBe(503);
    }
    expect((await b.mcp.sessions.get(own.sessionId))?.unreadable).toBeUndefined();
  });
});

it('does not act on a log level and on subscriptions that no node has stored', async () => {
  const asked: string[] = [];
  const { a, b, alice, record } = await twoNodes({
    server: () => {
      const scripted = scriptedServer();
      scripted.setRequestHandler(SubscribeRequestSchema, ({ params }) => {
        asked.push(params.uri);
        return {};
      });
      scripted.setRequestHandler(SetLevelRequestSchema, ({ params }) => {
        asked.push(params.level);
        return {};
      });
      return scripted;
    },
  });
  await alice.client.request(a.url, 'resources/subscribe', { uri: 'r:1' });
  await alice.client.request(a.url, 'logging/setLevel', { level: 'error' });
  expect(asked).toEqual(['r:1', 'error']);
  const own = await redis.hget(record, 'sub:r:1');
  await redis.hset(record, 'sub:r:2', own ?? '', 'sub:r:3', '1');
  await redis.hset(record, 'rev', '9.x:1.y');
  for (const { url } of [a, b]) await alice.client.request(url, 'tools/list');
  expect(asked).toEqual(['r:1', 'error', 'error', 'r:1']);
  await redis.hset(record, 'lvl', 'debug');
  const { logLevel, subscriptions } = (await b.mcp.sessions.get(alice.sessionId)) ?? {};
  expect({ logLevel, subscriptions }).toEqual({ logLevel: undefined, subscriptions: ['r:1'] });
});

describe('a task', () => {
  it.each([
    ['with the seal that it has', 'kept'],
    ['with the seal of a task of his', 'own'],
    ['without a seal', 'none'],
  ])('does not become that of a session that Redis names: %s', async (_, kind) => {
    const { prefix, a, b } = await twoNodes();
    const make = async (sessionId: string) => {
      const { taskId } = await a.mcp.taskStore.createTask(
        ...[{ ttl: 60_000 }, 1, { method: 'tools/call' }, sessionId],
      );
      const message = { jsonrpc: '2.0', method: 'x' } as const;
      const queued = { type: 'notification', timestamp: 1, message } as const;
      await a.mcp.taskMessageQueue.enqueue(taskId, queued, sessionId);
      await a.mcp.taskStore.updateTaskStatus(taskId, 'working', 'my diagnosis', sessionId);
      await a.mcp.taskStore.storeTaskResult(taskId, 'completed', { content: [] }, sessionId);
      return { taskId, key: `${prefix}:task:{${taskId}}` };
    };
    const { taskId, key } = await make('alice');
    const own = await make('bob');
    await redis.hset(key, 's', 'bob');
    if (kind === 'own') await redis.hset(key, 'seal', (await redis.hget(own.key, 'seal')) ?? '');
    if (kind === 'none') await redis.hdel(key, 'seal');
    await redis.zadd(`${prefix}:tasks:{bob}`, 1, taskId);
    for (const { mcp } of [a, b]) {
      const { taskStore, taskMessageQueue } = mcp;
      await expect(taskStore.getTaskResult(taskId, 'bob')).rejects.toThrow(taskId);
      expect((await taskStore.getTask(taskId, 'bob'))?.statusMessage).toBeUndefined();
      const { tasks } = await taskStore.listTasks(undefined, 'bob');
      const listed = tasks.find((task) => task.taskId === taskId);
      expect(listed?.statusMessage).toBeUndefined();
      const taken = await taskMessageQueue.dequeue(taskId, 'bob').catch(() => undefined);
      expect(taken).toBeUndefined();
      expect(await taskMessageQueue.dequeueAll(taskId, 'bob')).toEqual([]);
      expect(await taskStore.getTaskResult(own.taskId, 'bob')).toEqual({ content: [] });
    }
    // None of it was taken away: it is Alice's again as soon as Redis says so.
    await redis.hset(key, 's', 'alice');
    expect(await a.mcp.taskMessageQueue.dequeue(taskId, 'alice')).toBeDefined();
  });
});
