/**
 * Attacks of a person who can write to Redis but has no key of the codec. Each attack here has succeeded once: payloads
 * were encrypted, and stood beside plain text that said to whom they belonged.
 */
import { SetLevelRequestSchema, SubscribeRequestSchema } from '@modelcontextprotocol/sdk/types.js';
import { randomBytes } from 'node:crypto';
import { Redis } from 'ioredis';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it, onTestFinished } from 'vitest';
import { redisBackplane } from '../../src/backplane/redis/redis-backplane.js';
import type { AnynodeOptions } from '../../src/index.js';
import { aesGcmCodec } from '../../src/codec/index.js';
import { type JsonRpc, notification, request } from '../support/mcp-http.js';
import { useFileRedis } from '../support/file-redis.js';
import { uniquePrefix } from '../support/redis-fixture.js';
import { newGate } from './support/gate.js';
import { scriptedServer, type Tool } from './support/scripted-server.js';
import { openSession, rawClient, startNode } from './support/serve.js';

const redis = useFileRedis();
/** Starts two nodes with the same key. */
async function twoNodes(more: Partial<AnynodeOptions> = {}) {
  const prefix = uniquePrefix();
  const key = randomBytes(32);
  const start = () =>
    startNode({
      principal: (req) => req.get('x-user'),
      backplane: redisBackplane({ redis: redis.server.url, prefix }),
      codec: aesGcmCodec({ keys: { k1: key }, current: 'k1' }),
      ...more,
    });
  const [a, b] = [await start(), await start()];
  const as = (user: string) => ({ headers: { 'x-user': user } });
  const alice = await openSession(a.url, as('alice'));
  /** Bob has an account of his own, and uses the id of Alice's session. */
  const bob = rawClient(as('bob'));
  bob.sessionId = alice.sessionId;
  bob.protocolVersion = alice.client.protocolVersion;
  return { prefix, a, b, alice, bob, record: `${prefix}:{${alice.sessionId}}` };
}

describe('the principal of a session', () => {
  it('is not taken from Redis, whether a node knows the session or not', async () => {
    const { a, b, alice, bob, record } = await twoNodes();
    const { sessionId } = alice;
    await alice.client.request(a.url, 'ping');
    const principal = (await redis.admin.hget(record, 'pr')) ?? '';
    expect(principal).toContain('alice');
    await redis.admin.hset(record, 'pr', principal.replace('alice', 'bob'));
    for (const { url } of [a, b]) {
      expect((await bob.get(url)).status).toBe(404);
      expect((await bob.post(url, request(1, 'ping'))).status).toBe(404);
      expect((await bob.post(url, notification('notifications/x'))).status).toBe(404);
      expect((await bob.delete(url)).status).toBe(404);
      expect((await alice.client.post(url, request(9, 'ping'))).status).toBe(404);
    }
    expect(await b.mcp.sessions.get(sessionId)).toBeUndefined();
    await expect(b.mcp.session(sessionId).state.get()).rejects.toThrow('There is no session');
    expect(b.logged.join('\n')).toContain('has been changed by something that is no node');
    // With the original value, all works again.
    await redis.admin.hset(record, 'pr', principal);
    await alice.client.request(b.url, 'ping');
  });

  it.each([
    ['the seal of a session of his own', 'own'],
    ['no seal', 'none'],
    ['a made-up one', 'made up'],
  ])('cannot be forged by the attacker with %s', async (_, kind) => {
    const { prefix, b, bob, record } = await twoNodes();
    const own = await openSession(b.url, { headers: { 'x-user': 'bob' } });
    const his = await redis.admin.hgetall(`${prefix}:{${own.sessionId}}`);
    const sealed = Object.keys(his).filter((field) => field.startsWith('seal'));
    await redis.admin.hset(record, 'pr', his.pr ?? '');
    for (const field of sealed) {
      if (kind === 'own') await redis.admin.hset(record, field, his[field] ?? '');
      else await redis.admin.hdel(record, field);
    }
    if (kind === 'made up')
      await redis.admin.hset(record, 'seal', 'aes1.k1.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA');
    for (const answer of [await bob.post(b.url, request(1, 'ping')), await bob.get(b.url)]) {
      expect(answer.status).toBe(503);
    }
    expect((await b.mcp.sessions.get(own.sessionId))?.unreadable).toBeUndefined();
  });
});

it('a log level and subscriptions that no node has stored have no effect', async () => {
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
  const own = await redis.admin.hget(record, 'sub:r:1');
  await redis.admin.hset(record, 'sub:r:2', own ?? '', 'sub:r:3', '1');
  await redis.admin.hset(record, 'rev', '9.x:1.y');
  for (const { url } of [a, b]) await alice.client.request(url, 'tools/list');
  expect(asked).toEqual(['r:1', 'error', 'error', 'r:1']);
  await redis.admin.hset(record, 'lvl', 'debug');
  const { logLevel, subscriptions } = (await b.mcp.sessions.get(alice.sessionId)) ?? {};
  expect({ logLevel, subscriptions }).toEqual({ logLevel: undefined, subscriptions: ['r:1'] });
});

/** Records the messages between nodes. */
async function spyOn(prefix: string) {
  const spy = new Redis(redis.server.url);
  onTestFinished(() => spy.disconnect());
  const heard: { channel: string; text: string }[] = [];
  spy.on('pmessage', (_, channel: string, text: string) => heard.push({ channel, text }));
  await spy.psubscribe(`${prefix}:inbox:*`);
  return (verb: string) => heard.filter(({ text }) => text.startsWith(`1 ${verb} `));
}

/** Returns the entries of a session's log, each with its fields. */
async function logOf(record: string) {
  const rows = await redis.admin.xrange(`${record}:events`, '-', '+');
  return rows.map(([id, flat]) => {
    const fields = new Map<string, string>();
    for (let at = 0; at < flat.length; at += 2) fields.set(flat[at] ?? '', flat[at + 1] ?? '');
    return { id, fields, message: fields.get('m') ?? '' };
  });
}

describe('a message between nodes', () => {
  // Bug: a payment was made three more times, with the authorization of the first one.
  it('that asks the owner to run a request makes it run once, however often and to whichever node it is published', async () => {
    const paid: unknown[] = [];
    const { prefix, a, b, alice, record } = await twoNodes({
      affinity: 'owner',
      server: () =>
        scriptedServer({
          pay: ({ args }) => {
            paid.push(args);
            return 'paid';
          },
        }),
    });
    const heard = await spyOn(prefix);
    await alice.client.request(b.url, 'tools/call', { name: 'pay', arguments: { to: 'bob' } });
    expect(paid).toHaveLength(1);
    const [run] = heard('run');
    if (run === undefined) throw new Error('it was not sent to the owner');
    const [, , , stream = ''] = run.text.split('\n')[0]?.split(' ') ?? [];
    const first = (await logOf(record)).find(({ fields }) => fields.get('s') === stream);
    for (const { mcp } of [a, b, a]) {
      const { nodeId } = mcp;
      const open = ['x:', `+${nodeId}`, 'p:', '1', 'n:', `0:${first?.id ?? ''}`];
      for (let at = 0; at < open.length; at += 2) {
        await redis.admin.hset(
          `${record}:streams`,
          `${open[at] ?? ''}${stream}`,
          open[at + 1] ?? '',
        );
      }
      await redis.admin.hset(`${record}:streams`, 'r:2', stream);
      await redis.admin.hset(record, 'own', nodeId);
      await redis.admin.publish(`${prefix}:inbox:${nodeId}`, run.text);
      // The node has handled the message by then.
      await mcp.session(alice.sessionId).notify({ method: 'notifications/x' });
      await sleep(50);
    }
    expect(paid).toHaveLength(1);
    expect(a.logged.join('\n')).toContain('was not meant for this node, or was heard before');
  });

  it('that is made from entries of the log, or repeated, has no effect', async () => {
    const ran: string[] = [];
    const { prefix, a, b, alice, record } = await twoNodes({
      server: () => {
        const scripted = scriptedServer({
          pay: () => {
            ran.push('pay');
            return 'paid';
          },
        });
        scripted.fallbackNotificationHandler = ({ method }) => {
          ran.push(method);
          return Promise.resolve();
        };
        return scripted;
      },
    });
    const { sessionId, client } = alice;
    await client.request(b.url, 'ping');
    await client.request(a.url, 'tools/call', { name: 'pay', arguments: {} });
    await client.notify(a.url, 'notifications/custom');
    await client.notify(a.url, 'notifications/roots/list_changed');
    const roots = 'notifications/roots/list_changed';
    const once = ['pay', 'notifications/custom', roots, roots];
    await expect.poll(() => ran).toEqual(once);
    const log = await logOf(record);
    for (const { mcp } of [a, b]) {
      const inbox = `${prefix}:inbox:${mcp.nodeId}`;
      for (const { id, message, fields } of log) {
        if (fields.has('n')) continue;
        await redis.admin.publish(inbox, `1 deliver ${sessionId}\n${message}`);
        await redis.admin.publish(inbox, `1 logged ${sessionId} ${id}`);
        await redis.admin.publish(inbox, `1 shape ${sessionId} 99.x:1.y\n${message}`);
        const { length } = message;
        const run = `1 run ${sessionId} ${fields.get('s') ?? ''} ${mcp.nodeId} ${length} ${length}`;
        await redis.admin.publish(inbox, `${run}\n${message}${message}`);
      }
    }
    await sleep(100);
    expect(ran).toEqual(once);
  });
});

it.each(['any', 'owner'] as const)(
  'a call that a node has run does not run there again, although Redis says that it is not begun (%s)',
  async (affinity) => {
    const paid: unknown[] = [];
    const pay: Tool = ({ args }) => {
      paid.push(args);
      return 'paid';
    };
    const { a, alice, record } = await twoNodes({
      affinity,
      server: () => scriptedServer({ pay }),
    });
    const { client } = alice;
    const call = request(50, 'tools/call', { name: 'pay', arguments: {} });
    const { sse } = await client.post(a.url, call);
    await sse.next((event) => event.message?.id === 50);
    const lastEventId = sse.primings[0]?.id ?? '';
    const entries = await logOf(record);
    const end = entries.findLast(({ fields }) => fields.has('e'));
    const stream = end?.fields.get('s') ?? '';
    const first = entries.find(({ fields }) => fields.get('s') === stream);
    await redis.admin.xdel(`${record}:events`, end?.id ?? '');
    const fields = {
      [`n:${stream}`]: `0:${first?.id ?? ''}`,
      [`p:${stream}`]: '1',
      'r:50': stream,
    };
    await redis.admin.hset(`${record}:streams`, { ...fields, [`x:${stream}`]: `+${a.mcp.nodeId}` });
    const again = await client.listen(a.url, { lastEventId });
    const { message } = await again.next((event) => event.message?.id === 50);
    expect(paid).toHaveLength(1);
    expect(message?.error).toBeDefined();
  },
);

describe('an entry of the log', () => {
  const GET = 'g';

  /** Puts an entry on the GET stream, after all others. */
  async function put(record: string, message: string): Promise<void> {
    const last = (await redis.admin.hget(`${record}:streams`, 'n:g')) ?? '0:0-0';
    const n = String(Number(last.split(':')[0]) + 1);
    const fields = ['s', GET, 'n', n, 'o', '0', 'm', message];
    const id = await redis.admin.xadd(`${record}:events`, '*', ...fields);
    await redis.admin.hset(`${record}:streams`, 'n:g', `${n}:${id ?? ''}`);
  }

  it('is shown only in its direction, on its stream, and at its position', async () => {
    const { a, b, alice, record } = await twoNodes();
    const { client, sessionId } = alice;
    const say = (node: typeof a, data: string) =>
      node.mcp
        .session(sessionId)
        .notify({ method: 'notifications/message', params: { level: 'info', data } });
    await client.request(b.url, 'tools/list');
    await client.request(a.url, 'tools/list');
    await say(a, 'one');
    await say(b, 'two');
    const log = (await logOf(record)).filter(({ message }) => message !== '');
    for (const { message } of log) await put(record, message);
    await say(a, 'three');
    let first: string | undefined;
    for (const { url } of [a, b]) {
      const listener = await client.listen(url, first === undefined ? {} : { lastEventId: first });
      const seen: unknown[] = [];
      while (seen.at(-1) !== 'three') {
        const { message } = await listener.next((event) => event.message !== undefined);
        seen.push(message?.params?.['data']);
      }
      expect(seen).toEqual(['one', 'two', 'three']);
      first ??= listener.primings[0]?.id;
      listener.close();
    }
    const entries = [];
    for await (const event of b.mcp.sessions.events(sessionId)) entries.push(event);
    expect(entries.filter(({ unreadable }) => unreadable === true)).toHaveLength(log.length);
  });

  it('is not shown again by a node that has read nothing of the session', async () => {
    const { a, b, alice, record } = await twoNodes();
    const say = (data: string) =>
      a.mcp
        .session(alice.sessionId)
        .notify({ method: 'notifications/message', params: { level: 'info', data } });
    const there = await alice.client.listen(a.url);
    for (const data of ['one', 'two']) await say(data);
    await there.next((event) => event.message?.params?.['data'] === 'two');
    const lastEventId = there.lastEventId ?? '';
    there.close();
    const sent = (await logOf(record)).filter(({ fields }) => fields.get('s') === GET);
    for (const { message } of sent) await put(record, message);
    await say('three');
    const here = await alice.client.listen(b.url, { lastEventId });
    const { message } = await here.next((event) => event.message !== undefined);
    expect(message?.params?.['data']).toBe('three');
  });

  it('is not taken for the answer to another request', async () => {
    const held = newGate();
    const { prefix, a, b, alice, record } = await twoNodes({
      server: () =>
        scriptedServer({
          price: async ({ args }) => {
            if (args.later === true) await held.opened;
            return args.later === true ? 'new' : 'old';
          },
        }),
    });
    const { client, sessionId } = alice;
    const call = (later: boolean) =>
      client.post(a.url, request(77, 'tools/call', { name: 'price', arguments: { later } }));
    const textOf = (answer: JsonRpc) => JSON.stringify(answer.result);
    expect(textOf(await (await call(false)).answer(77))).toContain('old');
    const old = (await logOf(record)).findLast(({ fields }) => fields.has('e'));
    const answer = await call(true);
    const fields = await redis.admin.hgetall(`${record}:streams`);
    const stream = fields['r:77'] ?? '';
    const token = fields[`h:${stream}`]?.split(':')[1] ?? '';
    const event = `1 event ${sessionId} ${stream} ${token} 1 9999999999999-0 1 - 1 1`;
    for (const { mcp } of [a, b]) {
      await redis.admin.publish(`${prefix}:inbox:${mcp.nodeId}`, `${event}\n${old?.message ?? ''}`);
    }
    await sleep(50);
    held.open();
    expect(textOf(await answer.answer(77))).toContain('new');
  });
});

it('an older state of a session that is put back into Redis is refused', async () => {
  const { a, b, alice, record } = await twoNodes();
  const state = (node: typeof a) => node.mcp.session(alice.sessionId).state;
  await state(a).set({ balance: 100 });
  const earlier = (await redis.admin.hget(record, 'st')) ?? '';
  await state(b).set({ balance: 0 });
  await redis.admin.hset(record, 'st', earlier);
  for (const node of [a, b]) await expect(state(node).get()).rejects.toThrow('cannot be decoded');
  await state(a).set({ balance: 1 });
  expect(await state(b).get()).toEqual({ balance: 1 });
});

describe('a task', () => {
  it.each([
    ['with the seal that it has', 'kept'],
    ['with the seal of a task of his', 'own'],
    ['without a seal', 'none'],
  ])('is not given to a session that Redis names: %s', async (_, kind) => {
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
    await redis.admin.hset(key, 's', 'bob');
    if (kind === 'own')
      await redis.admin.hset(key, 'seal', (await redis.admin.hget(own.key, 'seal')) ?? '');
    if (kind === 'none') await redis.admin.hdel(key, 'seal');
    await redis.admin.zadd(`${prefix}:tasks:{bob}`, 1, taskId);
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
    // The task is not lost: it is Alice's again as soon as Redis says so.
    await redis.admin.hset(key, 's', 'alice');
    expect(await a.mcp.taskMessageQueue.dequeue(taskId, 'alice')).toBeDefined();
  });
});
