import {
  SetLevelRequestSchema,
  SubscribeRequestSchema,
  UnsubscribeRequestSchema,
} from '@modelcontextprotocol/sdk/types.js';
import { expect, it } from 'vitest';
import type { Backplane } from '../../src/index.js';
import { redisBackplane } from '../../src/index.js';
import { scriptedServer } from '../integration/support/scripted-server.js';
import { openSession, startNode } from '../integration/support/serve.js';
import { signal } from '../integration/support/signal.js';
import { answers, hasMethod, request } from '../support/mcp-http.js';
import { connectRedis, redisUrl, uniquePrefix } from '../support/redis-fixture.js';
import { replicate } from '../support/redis-snapshot.js';

/** A backplane that calls `before` once, before this node first asks another one to run a request. */
function handingOver(inner: Backplane, before: () => Promise<void>): Backplane {
  return {
    join(options) {
      const joined = inner.join(options);
      const send = joined.send.bind(joined);
      let called: Promise<void> | undefined;
      joined.send = async (nodeId, message) => {
        if (message.type === 'run') await (called ??= before());
        return send(nodeId, message);
      };
      return joined;
    },
  };
}

/**
 * Two nodes, `affinity: 'owner'`: the client's connection is at B, and A owns its session and runs its call. Resolves when
 * the call runs, with what makes a replica the master that has the step which opened the call's stream, and none since.
 */
async function callBegunByOwner() {
  const prefix = uniquePrefix();
  const redis = connectRedis();
  const over = () => redisBackplane({ redis: redisUrl(), prefix });
  const go = signal();
  const started: string[] = [];
  const tools = {
    charge: async () => {
      const run = `run ${started.length + 1}`;
      started.push(run);
      await go.promise;
      return run;
    },
  };
  const options = { affinity: 'owner' as const, tools };
  const a = await startNode({ ...options, backplane: over() });
  let failOver = (): Promise<void> => Promise.reject(new Error('not noted'));
  const note = async (): Promise<void> => {
    failOver = await replicate(redis, `${prefix}:{*`);
  };
  const b = await startNode({ ...options, backplane: handingOver(over(), note) });
  const { client, sessionId } = await openSession(a.url);
  const id = client.nextId();
  const { sse } = await client.post(b.url, request(id, 'tools/call', { name: 'charge' }));
  await expect.poll(() => started).toEqual(['run 1']);
  await expect.poll(() => sse.lastEventId).toBeDefined();
  /** The requests of the session that have not ended, as Redis knows. */
  const running = async (): Promise<string[]> => {
    const fields = await redis.hkeys(`${prefix}:{${sessionId}}:streams`);
    return fields.filter((field) => field.startsWith('r:'));
  };
  const key = `${prefix}:{${sessionId}}`;
  /** Returns the node that executes the stream of the call, with a + in front if the stream is not begun. */
  const executor = async (): Promise<string | undefined> => {
    const fields = Object.entries(await redis.hgetall(`${key}:streams`));
    return fields.find(([field]) => field.startsWith('x:'))?.[1];
  };
  /**
   * Makes the backplane say that another node owns the session, and that it or an earlier owner has still to begin the
   * call.
   */
  const giveTo = async (owner: string, executor = owner): Promise<void> => {
    const fields = await redis.hkeys(`${key}:streams`);
    const executing = fields.filter((field) => field.startsWith('x:'));
    await redis.hset(key, 'own', owner);
    for (const field of executing) await redis.hset(`${key}:streams`, field, `+${executor}`);
  };
  const ends = { running, executor, giveTo, failOver: () => failOver() };
  return { a, b, client, id, sse, go, started, ...ends };
}

// For the new master nobody had begun the call, so the owner was asked to begin it: it ran the call twice at the same time.
it('a call runs once, although a failover loses the step by which its owner has begun it', async () => {
  const { b, client, id, sse, go, started, failOver } = await callBegunByOwner();
  sse.close();
  await failOver();
  const resumed = await client.listen(b.url, { lastEventId: sse.lastEventId ?? '' });
  await new Promise((resolve) => setTimeout(resolve, 1_500)); // B asks its owner again after 0.9 s
  go.resolve();
  const { message } = await resumed.next(answers(id));
  expect(JSON.stringify(message?.result)).toContain('run 1');
  expect(started).toEqual(['run 1']);
});

// Nobody was told that the answer is lost: the call was run a second time, after it had been answered.
it('an answered call does not run again, although a failover loses that it was begun and answered', async () => {
  const { b, client, id, sse, go, started, running, failOver } = await callBegunByOwner();
  sse.close();
  go.resolve();
  await expect.poll(running).toEqual([]);
  await failOver();
  const resumed = await client.listen(b.url, { lastEventId: sse.lastEventId ?? '' });
  const { message } = await resumed.next(answers(id));
  expect(message?.error).toMatchObject({ code: -32000, data: { reason: 'answer_lost' } });
  expect(started).toEqual(['run 1']);
});

// Its owner's answer was dropped, since it had not begun the call as far as the new master knew.
it('a call is answered, although a failover loses that it was begun, and no node asks again', async () => {
  const { b, client, id, sse, go, running, failOver } = await callBegunByOwner();
  sse.close();
  await failOver();
  go.resolve();
  await expect.poll(running).toEqual([]);
  const resumed = await client.listen(b.url, { lastEventId: sse.lastEventId ?? '' });
  expect(JSON.stringify((await resumed.next(answers(id))).message?.result)).toContain('run 1');
});

// Only what asked for the call again, or its answer, told the new master. Should its owner die before, it was run again.
it('an owner stores again that it has begun a call when it notices a failover', async () => {
  const { a, sse, go, executor, failOver } = await callBegunByOwner();
  sse.close();
  await failOver();
  await expect.poll(executor).toBe(a.mcp.nodeId);
  go.resolve();
});

// Another node had taken the session over since, so that the answer was dropped; but the former owner took it for stored, as
// the backplane named that node itself. The request was open for ever, where no client came back to it.
it('a call ends, although a failover loses that it was begun, and the session has another owner by then', async () => {
  const { a, b, client, id, sse, go, running, giveTo } = await callBegunByOwner();
  sse.close();
  await expect.poll(() => b.mcp.health().streams).toBe(0);
  await giveTo('dead000000', a.mcp.nodeId);
  go.resolve();
  await expect.poll(running).toEqual([]);
  const resumed = await client.listen(b.url, { lastEventId: sse.lastEventId ?? '' });
  const { message } = await resumed.next(answers(id));
  expect(message?.error).toMatchObject({ code: -32000, data: { reason: 'node_lost' } });
});

// Its owner had taken the session from a dead node, which was the owner again: the answer was dropped, nobody had the call
// to end, and its client waited for ever.
it('a call ends, although a failover loses that its owner had taken the session from a dead node', async () => {
  const { id, sse, go, started, running, giveTo } = await callBegunByOwner();
  await giveTo('dead000000');
  go.resolve();
  const { message } = await sse.next(answers(id));
  expect(message?.error).toMatchObject({ code: -32000, data: { reason: 'answer_lost' } });
  await sse.untilEnded();
  expect(await running()).toEqual([]);
  expect(started).toEqual(['run 1']);
});

// The node took itself for the owner. When the session came back to it, after another node had owned it and had given it up,
// the server object from before the failover went on, and knew nothing of what had been done in between.
it('a replica is discarded after a failover that loses that its node became the owner', async () => {
  const prefix = uniquePrefix();
  const redis = connectRedis();
  const start = () => {
    const server = () => {
      let calls = 0;
      return scriptedServer({ count: () => `call ${(calls += 1)}` });
    };
    const backplane = redisBackplane({ redis: redisUrl(), prefix });
    return startNode({ affinity: 'owner', backplane, server });
  };
  const [first, a, b] = [await start(), await start(), await start()];
  const { client, sessionId } = await openSession(first.url);
  const owner = () => redis.hget(`${prefix}:{${sessionId}}`, 'own');
  const count = async (url: string) =>
    JSON.stringify((await client.request(url, 'tools/call', { name: 'count' })).result);
  await first.mcp.close({ drainMs: 0 });
  expect(await owner()).toBeNull();
  const failOver = await replicate(redis, `${prefix}:{*`);
  expect(await count(a.url)).toContain('call 1');
  expect(await owner()).toBe(a.mcp.nodeId);

  await failOver();
  await expect.poll(() => a.mcp.health().sessions).toBe(0);
  expect(await count(b.url)).toContain('call 1');
  await b.mcp.close({ drainMs: 0 });
  expect(await count(a.url)).toContain('call 1');
});

// Its answer was stored with the number of a message that the client had seen, and which the failover had lost, and with an
// id before that one's, since the new master's clock was behind: it was taken for that message, and never shown.
it.each([1, 30])(
  'a call is answered, although the new master is %i s behind the one that has lost a message of it',
  async (behind) => {
    const prefix = uniquePrefix();
    const redis = connectRedis();
    const go = signal();
    const tools = {
      slow: async () => {
        await go.promise;
        return 'done';
      },
    };
    const inner = redisBackplane({ redis: redisUrl(), prefix });
    // The answer is stored before the node looks at the log again.
    const backplane: Backplane = {
      join: (options) => inner.join({ ...options, onLost: () => undefined }),
    };
    const node = await startNode({ backplane, tools });
    const { client, sessionId } = await openSession(node.url);
    await client.request(node.url, 'ping');
    const id = client.nextId();
    const { sse } = await client.post(node.url, request(id, 'tools/call', { name: 'slow' }));
    await expect.poll(() => node.mcp.health().inFlight).toBe(1);
    const failOver = await replicate(redis, `${prefix}:{*`);

    // What the master has stored since, by its own clock, and has announced.
    const key = `${prefix}:{${sessionId}}`;
    const fields = await redis.hgetall(`${key}:streams`);
    const stream =
      Object.keys(fields)
        .find((name) => name.startsWith('x:'))
        ?.slice(2) ?? '';
    const token = (fields[`h:${stream}`] ?? '').split(':')[1] ?? '';
    const logId = `${Date.now() + behind * 1_000}-0`;
    const lost = JSON.stringify({
      jsonrpc: '2.0',
      ...{ method: 'notifications/message', params: { level: 'info', data: 'half' } },
    });
    await redis.xadd(
      `${key}:events`,
      logId,
      'o',
      fields.bytes ?? '0',
      's',
      stream,
      'n',
      '1',
      'm',
      lost,
    );
    await redis.hset(`${key}:streams`, `n:${stream}`, `1:${logId}`);
    const event = `1 event ${sessionId} ${stream} ${token} 1 ${logId} 0 - 1 1\n${lost}`;
    await redis.publish(`${prefix}:inbox:${node.mcp.nodeId}`, event);
    await sse.next(hasMethod('notifications/message'));

    await failOver();
    go.resolve();
    expect(JSON.stringify((await sse.next(answers(id))).message?.result)).toContain('done');
    await sse.untilEnded();
  },
);

/** Two nodes, each with a server that says what it was told of levels and subscriptions, and a client of both. */
async function shapedOnTwoNodes() {
  const prefix = uniquePrefix();
  const redis = connectRedis();
  const start = () => {
    const told = { level: 'none', subscribed: new Set<string>() };
    const server = () => {
      const made = scriptedServer({
        told: () => `${told.level} ${[...told.subscribed].sort().join()}`,
      });
      made.setRequestHandler(SetLevelRequestSchema, ({ params }) => {
        told.level = params.level;
        return {};
      });
      made.setRequestHandler(SubscribeRequestSchema, ({ params }) => {
        told.subscribed.add(params.uri);
        return {};
      });
      made.setRequestHandler(UnsubscribeRequestSchema, ({ params }) => {
        told.subscribed.delete(params.uri);
        return {};
      });
      return made;
    };
    return startNode({ backplane: redisBackplane({ redis: redisUrl(), prefix }), server });
  };
  const [a, b] = [await start(), await start()];
  const { client } = await openSession(a.url);
  const told = async (url: string) =>
    JSON.stringify((await client.request(url, 'tools/call', { name: 'told' })).result);
  await told(a.url);
  await told(b.url);
  const failOver = await replicate(redis, `${prefix}:{*`);
  return { redis, a, b, client, told, failOver };
}

// The revision was a number in the record, and went back with it. A replica that had carried out the change which was lost was
// at the revision that the next change got: it did not hear of that one, for as long as it lived.
it('a log level and a subscription acknowledged after a failover hold on every node', async () => {
  const { redis, a, b, client, told, failOver } = await shapedOnTwoNodes();
  await client.request(a.url, 'logging/setLevel', { level: 'debug' });
  await client.request(a.url, 'resources/subscribe', { uri: 'file:///lost' });
  await failOver();
  await redis.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
  await expect
    .poll(() => [a.mcp.health().status, b.mcp.health().status])
    .toEqual(['ready', 'ready']);
  await client.request(b.url, 'logging/setLevel', { level: 'error' });
  await client.request(b.url, 'resources/subscribe', { uri: 'file:///kept' });
  for (const { url } of [a, b]) await expect.poll(() => told(url)).toContain('error file:///kept');
});

// Until its subscription was made again, a node did not doubt that its replica knew the change with the same number.
it('a change acknowledged before a node notices the failover holds on that node, too', async () => {
  const { a, b, client, told, failOver } = await shapedOnTwoNodes();
  await client.request(a.url, 'logging/setLevel', { level: 'debug' });
  await failOver({ unnoticed: true });
  await client.request(b.url, 'logging/setLevel', { level: 'error' });
  for (const { url } of [a, b]) expect(await told(url)).toContain('error');
});

// Its connection was not the holder of the stream any more, and nothing told it of what came: it was deaf for hours.
it('a GET whose claim a failover has lost is ended, resumes, and gets later messages', async () => {
  const prefix = uniquePrefix();
  const redis = connectRedis();
  const node = await startNode({ backplane: redisBackplane({ redis: redisUrl(), prefix }) });
  const { client, sessionId } = await openSession(node.url);
  await client.request(node.url, 'ping');
  const failOver = await replicate(redis, `${prefix}:{*`);
  const first = await client.listen(node.url);
  await failOver();
  await first.untilEnded();
  const second = await client.listen(node.url, { lastEventId: first.lastEventId ?? '' });
  await node.mcp.session(sessionId).notify({ method: 'notifications/message', params: {} });
  await second.next(hasMethod('notifications/message'));
});

// Its connection held the stream for ever, though there was none: every GET of the client got 409.
it('a GET is served, although a failover has lost that an earlier one gave the stream up', async () => {
  const prefix = uniquePrefix();
  const redis = connectRedis();
  const start = () =>
    startNode({
      backplane: redisBackplane({ redis: redisUrl(), prefix }),
      standaloneStream: 'reject',
    });
  const [a, b] = [await start(), await start()];
  const { client, sessionId } = await openSession(a.url);
  await client.request(a.url, 'ping');
  const holder = () => redis.hget(`${prefix}:{${sessionId}}:streams`, 'h:g');
  for (const { url } of [a, b]) {
    const first = await client.listen(a.url);
    const failOver = await replicate(redis, `${prefix}:{*`);
    first.close();
    await expect.poll(holder).toBeNull();
    await failOver();
    expect(await holder()).not.toBeNull();
    const listen = async () => {
      const { status, sse } = await client.get(url);
      sse.close();
      return status;
    };
    await expect.poll(listen, { timeout: 2_000 }).toBe(200);
    await expect.poll(holder).toBeNull();
  }
});

/** A node whose tool ends when it is told to, and what makes a replica the master that has got nothing since. */
async function gatedCalls() {
  const prefix = uniquePrefix();
  const redis = connectRedis();
  const gates = new Map<string, { promise: Promise<void>; resolve: () => void }>();
  const gated = (name: string) => async () => {
    const gate = signal();
    gates.set(name, gate);
    await gate.promise;
    return name;
  };
  const node = await startNode({
    backplane: redisBackplane({ redis: redisUrl(), prefix }),
    tools: { one: gated('one'), other: gated('other') },
  });
  const { client } = await openSession(node.url);
  await client.request(node.url, 'ping');
  const id = client.nextId();
  const call = (name: string) => client.post(node.url, request(id, 'tools/call', { name }));
  const runs = (name: string) => expect.poll(() => gates.get(name)).toBeDefined();
  return { id, call, runs, gates, note: () => replicate(redis, `${prefix}:{*`) };
}

// The answer of the handler whose request the failover had lost was taken for that to the new request.
it('a request gets its own answer, although the handler of a lost request with its id still runs', async () => {
  const { id, call, runs, gates, note } = await gatedCalls();
  const failOver = await note();
  await call('one');
  await runs('one');
  await failOver({ unnoticed: true });
  const { sse } = await call('other');
  await runs('other');
  gates.get('one')?.resolve();
  await new Promise((resolve) => setTimeout(resolve, 50));
  gates.get('other')?.resolve();
  expect(JSON.stringify((await sse.next(answers(id))).message?.result)).toContain('other');
});

// It was refused for ever: the request that had the id had no follower, and its node lived.
it('an id can be used again, although a failover has lost that its request has ended', async () => {
  const { id, call, runs, gates, note } = await gatedCalls();
  const { sse } = await call('one');
  await runs('one');
  const failOver = await note();
  gates.get('one')?.resolve();
  await sse.next(answers(id));
  await sse.untilEnded();
  await failOver();
  await expect.poll(async () => (await call('other')).status, { timeout: 2_000 }).toBe(200);
});

async function batchOfTwo() {
  const prefix = uniquePrefix();
  const redis = connectRedis();
  const [first, second] = [signal(), signal()];
  const tools = {
    first: async () => {
      await first.promise;
      return 'done';
    },
    second: async () => {
      await second.promise;
      return 'done';
    },
  };
  const node = await startNode({ backplane: redisBackplane({ redis: redisUrl(), prefix }), tools });
  const { client } = await openSession(node.url);
  const ids = [client.nextId(), client.nextId()] as const;
  const { sse } = await client.post(node.url, [
    request(ids[0], 'tools/call', { name: 'first' }),
    request(ids[1], 'tools/call', { name: 'second' }),
  ]);
  await expect.poll(() => node.mcp.health().inFlight).toBe(2);
  const failOver = await replicate(redis, `${prefix}:{*`);
  return { ids, sse, first, second, failOver };
}

// Its node had answered all and ran none of them any more; for the new master one was open, and no node looked after it.
it('the stream of a batch ends, although a failover loses an answer that was shown', async () => {
  const { ids, sse, first, second, failOver } = await batchOfTwo();
  first.resolve();
  await sse.next(answers(ids[0]));
  await failOver();
  second.resolve();
  await sse.untilEnded();
});

// The second one ran when the node noticed the failover, and after it had been answered nobody looked again.
it('an answer of a batch that a failover has lost becomes an error while other calls of the batch run', async () => {
  const { ids, sse, first, second, failOver } = await batchOfTwo();
  first.resolve();
  await sse.next(answers(ids[0]));
  await failOver();
  const { message } = await sse.next(answers(ids[0]));
  expect(message?.error).toMatchObject({ data: { reason: 'answer_lost' } });
  second.resolve();
  await sse.next(answers(ids[1]));
  await sse.untilEnded();
});
