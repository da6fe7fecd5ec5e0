import { Redis } from 'ioredis';
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { startRedis, type RedisServer } from '../rig/redis.js';
import { hasMethod, request, type RawClient, type RawResponse } from '../support/mcp-http.js';
import { connectRedis, uniquePrefix } from '../support/redis-fixture.js';
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.js';
import {
  callTool,
  holdTool,
  logged,
  newClient,
  says,
  startTool,
  useCluster,
  type ClusterOptions,
  type TestNode,
} from './support/cluster.js';

/** Redis and the way to it, as they fail in earnest: every test has a Redis and a proxy of its own. */
const cluster = useCluster();

let redis: RedisServer;
let proxy: TcpProxy;
/** By way of the proxy, and past it. */
let proxied: string;

beforeEach(async () => {
  // No delay, so that a replica is there at once.
  redis = await startRedis({ args: ['--repl-diskless-sync-delay', '0'] });
  proxy = await startTcpProxy({ target: { port: redis.port } });
  proxied = `redis://127.0.0.1:${proxy.port}`;
  // After the nodes: one that can't take its leave waits for Redis a while.
  onTestFinished(async () => {
    await proxy.stop();
    await redis.stop();
  });
});

const COMMAND_TIMEOUT_MS = 500;
const all = (): ClusterOptions => ({
  ...{ redis: proxied, mayComplain: true },
  commandTimeoutMs: COMMAND_TIMEOUT_MS,
});
/** Only the first node goes by way of the proxy; a long lease keeps it from sending anything by itself. */
const firstOnly = (prefix: string) => (at: number) => ({
  ...{ redis: at === 0 ? proxied : redis.url, prefix, mayComplain: true },
  leaseMs: 600_000,
});

const upTo = (count: number): number[] => Array.from({ length: count }, (_, at) => at + 1);

describe('a Redis that takes commands and answers none', () => {
  it('every request gets 503 with Retry-After in bounded time, and no session ends', async () => {
    const [a, b, c] = await cluster.mount(all());
    const client = newClient();
    await client.initialize(a.url);
    const stream = await client.listen(b.url);
    await stream.comment();
    const deleted = newClient();
    await deleted.initialize(c.url);
    proxy.stall();

    const fresh = newClient();
    const params = { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: {} };
    const initialize = { ...params, clientInfo: { name: 'x', version: '1' } };
    const steps: Record<string, () => Promise<RawResponse>> = {
      initialize: () => fresh.post(a.url, request(1, 'initialize', initialize)),
      'a call': () => client.post(a.url, request(50, 'tools/list')),
      'a notification': () =>
        client.post(b.url, { jsonrpc: '2.0', method: 'notifications/initialized' }),
      'a GET': () => client.get(c.url),
      // Of another session: it may be carried out, late.
      'a DELETE': () => deleted.delete(c.url),
    };
    await Promise.all(
      Object.entries(steps).map(async ([name, step]) => {
        const began = performance.now();
        const { status, headers } = await step();
        expect(status, name).toBe(503);
        expect(headers['retry-after'], name).toMatch(/^\d+$/);
        expect(performance.now() - began, name).toBeLessThan(COMMAND_TIMEOUT_MS + 1_000);
      }),
    );
    await expect.poll(async () => (await a.call('health')).status).toBe('down');

    proxy.resume();
    await expect
      .poll(async () => (await a.call('health')).status, { timeout: 10_000 })
      .toBe('ready');
    // The answers to what was given up may come now: nothing of it may be seen.
    expect(await callTool(client, a, 'echo', { text: 'back' })).toBe('back');
    expect(stream.endedBy).toBeUndefined();
    await c.call('notify', { sessionId: client.sessionId ?? '', data: 'back' });
    await stream.next(says('back'));
  }, 30_000);
});

describe('a Redis that comes back empty', () => {
  it('its old sessions get 404, their streams end, and new sessions are served', async () => {
    const [a, b, c] = await cluster.mount({ ...all(), leaseMs: 900 });
    const client = newClient();
    await client.initialize(a.url);
    const stream = await client.listen(b.url);
    await redis.restart('SIGKILL');
    expect(await stream.untilEnded(15_000)).toBe('end');
    for (const node of [a, b, c]) {
      await expect
        .poll(async () => (await client.post(node.url, request(9, 'tools/list'))).status, {
          timeout: 10_000,
        })
        .toBe(404);
    }
    const again = newClient();
    await again.initialize(b.url);
    const streamAgain = await again.listen(c.url);
    await a.call('notify', { sessionId: again.sessionId ?? '', data: 'hello' });
    await streamAgain.next(says('hello'));
  }, 30_000);
});

describe('a subscriber', () => {
  it('that is cut off again and again loses nothing, because the node reads what it missed from the log', async () => {
    const [sender, holder] = await cluster.mount(all());
    const admin = connectRedis(redis.url);
    const client = newClient();
    await client.initialize(sender.url);
    const stream = await client.listen(holder.url);
    const sessionId = client.sessionId ?? '';
    const [rounds, each] = [15, 20];
    for (let round = 0; round < rounds; round++) {
      const sending = sender.call('push', {
        ...{ sessionId, from: round * each + 1, count: each, as: 'n' },
      });
      await admin.call('CLIENT', 'KILL', 'TYPE', 'pubsub');
      await sending;
    }
    await stream.first(rounds * each);
    expect(logged(stream)).toEqual(upTo(rounds * each).map((n) => `n ${n}`));
  });

  /**
   * After a failover a connection to the old master answers pings, and hears nothing more. Only a message to oneself,
   * sent the way that other nodes' messages come, shows it.
   */
  it('that hears nothing on an old master after a failover is noticed, and connected to the new one', async () => {
    const replica = await startRedis({ args: ['--replicaof', '127.0.0.1', `${redis.port}`] });
    onTestFinished(() => replica.stop());
    const [master, other] = [connectRedis(redis.url), connectRedis(replica.url)];
    await expect
      .poll(async () => (await other.info('replication')).includes('master_link_status:up'), {
        timeout: 10_000,
      })
      .toBe(true);
    const [sender, holder] = await cluster.mount({ ...all(), leaseMs: 900 });
    const client = newClient();
    await client.initialize(sender.url);
    const stream = await client.listen(holder.url);
    const sessionId = client.sessionId ?? '';
    await sender.call('push', { sessionId, from: 1, as: 'n' });
    await stream.first(1);

    // WAIT is about what this connection has written: with a write of its own, about all that came before.
    await master.set('last', '1');
    await master.wait(1, 5_000);
    await other.replicaof('NO', 'ONE');
    proxy.retarget(replica.port);
    // The subscribers are connected still, but to the old master, where nobody publishes. In one go, or they are found deaf.
    const [, subscribers] = await Promise.all([
      master.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes'),
      master.pubsub('CHANNELS', '*inbox*'),
    ]);
    expect(subscribers).toHaveLength(3);
    await expect
      .poll(() =>
        sender.call('push', { sessionId, from: 2, as: 'n' }).then(
          () => true,
          () => false,
        ),
      )
      .toBe(true);
    await stream.first(2);
    expect(logged(stream)).toEqual(['n 1', 'n 2']);
    await expect
      .poll(async () => (await other.pubsub('CHANNELS', '*inbox*')).length, { timeout: 5_000 })
      .toBe(3);
    expect(await holder.call('complaints')).toContainEqual(expect.stringMatching(/hears nothing/));
  }, 30_000);
});

/**
 * The connection breaks when Redis has done its work and before the reply is back: the client library can't know, and
 * repeats. Elsewhere that makes two entries, a request that is refused as its own duplicate, a 404 for a DELETE.
 */
describe('a reply that is lost', () => {
  const cases: Record<
    string,
    (lose: () => Promise<void>, nodes: Awaited<ReturnType<typeof cluster.mount>>) => Promise<void>
  > = {
    'of initialize makes one session': async (lose, [a, b]) => {
      const client = newClient();
      const lost = lose();
      await client.initialize(a.url, { initialized: b.url });
      await lost;
      expect(await b.call('sessions')).toEqual([client.sessionId]);
      expect(await callTool(client, b, 'echo', { text: 'here' })).toBe('here');
    },
    'of the opening of a call runs it once': async (lose, [a, b]) => {
      const client = await sessionOn(a.url);
      const lost = lose();
      const call = await startTool(client, a, 'hold', { key: 'once' });
      await a.until('held:once');
      await lost;
      await a.call('release', { key: 'once', text: 'done' });
      expect(await call.text()).toBe('done');
      expect(await a.call('count', { of: 'held:once' })).toBe(1);
      // Its id is free again.
      const again = await client.post(b.url, request(call.id, 'tools/list'));
      await again.answer(call.id);
    },
    'of an answer shows it once': async (lose, [a, b]) => {
      const client = await sessionOn(a.url);
      const call = await holdTool(client, a, 'answer');
      const { id: lastEventId } = await call.stream.priming();
      const lost = lose();
      await a.call('release', { key: 'answer', text: 'the one' });
      await lost;
      expect(await call.text()).toBe('the one');
      await call.stream.untilEnded();
      expect(call.stream.events).toHaveLength(1);
      const replay = await client.listen(b.url, lastEventId === undefined ? {} : { lastEventId });
      await replay.untilEnded();
      expect(replay.events).toHaveLength(1);
    },
    'of a notification shows it once': async (lose, [a, b]) => {
      const client = await sessionOn(a.url);
      const stream = await client.listen(b.url);
      const sessionId = client.sessionId ?? '';
      const lost = lose();
      await a.call('push', { sessionId, from: 1, as: 'n' });
      await lost;
      await a.call('push', { sessionId, from: 2, as: 'n' });
      await stream.first(2);
      expect(logged(stream)).toEqual(['n 1', 'n 2']);
    },
    'of a notification shows it once to a connection of the same node': async (lose, [a, b]) => {
      const client = await sessionOn(a.url);
      const stream = await client.listen(a.url);
      const sessionId = client.sessionId ?? '';
      const lost = lose();
      await a.call('push', { sessionId, from: 1, as: 'n' });
      await lost;
      await b.call('notify', { sessionId, data: 'n 2' });
      await stream.first(2);
      expect(logged(stream)).toEqual(['n 1', 'n 2']);
    },
    'of a GET opens the stream': async (lose, [a, b]) => {
      const client = await sessionOn(a.url);
      const lost = lose();
      const stream = await client.listen(a.url);
      await lost;
      await b.call('notify', { sessionId: client.sessionId ?? '', data: 'heard' });
      await stream.next(says('heard'));
    },
    'of an answer to a question answers it once': async (lose, [a, b]) => {
      const client = newClient();
      await client.initialize(a.url, { capabilities: { elicitation: {} } });
      const call = await startTool(client, b, 'elicit', { message: 'name?' });
      const { message } = await call.stream.next(hasMethod('elicitation/create'));
      const answer = { action: 'accept', content: { name: 'Ada' } };
      const lost = lose();
      await client.respond(a.url, message?.id ?? '', answer);
      await lost;
      expect(JSON.parse(await call.text())).toEqual(answer);
    },
    'of a DELETE ends the session': async (lose, [a, b]) => {
      const client = await sessionOn(a.url);
      const lost = lose();
      (await client.delete(a.url)).expect(200);
      await lost;
      (await client.delete(b.url)).expect(404);
    },
    'of a change of the session state counts once': async (lose, [a, b]) => {
      const client = await sessionOn(a.url);
      const sessionId = client.sessionId ?? '';
      await a.call('increment', { sessionId });
      // First it reads, then it stores.
      const lost = lose();
      await Promise.all([a.call('increment', { sessionId }), lost]);
      expect(await b.call('state', { sessionId })).toBe(2);
    },
  };

  async function sessionOn(url: string): Promise<RawClient> {
    const client = newClient();
    await client.initialize(url);
    return client;
  }

  it.each(Object.keys(cases))('%s', async (name) => {
    const nodes = await cluster.mount(firstOnly(uniquePrefix()));
    // The next script of that node, whichever it is: its command carries a hash, and nothing else does.
    const lose = (): Promise<void> =>
      proxy.cutBeforeReply((data) => /\r\nevalsha\r\n/i.test(data.toString('latin1')));
    // Scripts that Redis does not know yet are sent in another way.
    await warmUp(nodes[0]);
    await cases[name]?.(lose, nodes);
  });

  async function warmUp(node: TestNode): Promise<void> {
    const client = newClient();
    await client.initialize(node.url);
    await callTool(client, node, 'echo', { text: 'warm' });
    (await client.listen(node.url)).close();
    (await client.delete(node.url)).expect(200);
  }
});

it('a node that is cut off from Redis does not disturb others, and shows its clients everything later', async () => {
  const prefix = uniquePrefix();
  const [cut, b, c] = await cluster.mount((at) => ({
    ...{ prefix, redis: at === 0 ? proxied : redis.url, mayComplain: true },
    ...{ commandTimeoutMs: COMMAND_TIMEOUT_MS, leaseMs: 60_000 },
  }));
  const client = newClient();
  await client.initialize(cut.url);
  const stream = await client.listen(cut.url);
  const sessionId = client.sessionId ?? '';
  const running = await holdTool(client, cut, 'cut off');
  await callTool(client, b, 'echo', { text: '' });

  proxy.refuse();
  proxy.cut();
  await b.call('push', { sessionId, from: 1, count: 50, as: 'n' });
  expect(await callTool(client, c, 'echo', { text: 'as ever' })).toBe('as ever');
  expect((await client.post(cut.url, request(99, 'tools/list'))).status).toBe(503);
  const said = cut.call('say', { key: 'cut off', data: 'said meanwhile' });
  expect(stream.endedBy).toBeUndefined();

  proxy.accept();
  await stream.first(50);
  expect(logged(stream)).toEqual(upTo(50).map((n) => `n ${n}`));
  await said;
  await cut.call('release', { key: 'cut off', text: 'still here' });
  expect(await running.text()).toBe('still here');
  expect(logged(running.stream)).toEqual(['said meanwhile']);
}, 30_000);

it('a node opens each connection once again when all of them break at once', async () => {
  const [a, b] = await cluster.mount(all());
  const admin = new Redis(redis.url);
  onTestFinished(() => admin.disconnect());
  const connections = async (): Promise<number> =>
    String(await admin.client('LIST'))
      .trim()
      .split('\n').length;
  const before = await connections();
  const client = newClient();
  await client.initialize(a.url);
  for (let time = 0; time < 5; time++) {
    proxy.cut();
    expect(await callTool(client, b, 'echo', { text: `${time}` })).toBe(`${time}`);
  }
  await expect.poll(connections, { timeout: 5_000 }).toBe(before);
});
