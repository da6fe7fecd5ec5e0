/** `affinity: 'owner'` while all nodes live: one server object per session, whichever node its requests reach. */
import { Redis } from 'ioredis';
import { describe, expect, it } from 'vitest';
import { answers, hasMethod, notification, request, type RawClient } from '../support/mcp-http.js';
import { redisUrl } from '../support/redis-fixture.js';
import {
  callTool,
  clientOf,
  holdTool,
  logged,
  newClient,
  resultText,
  says,
  startTool,
  useCluster,
  type RunningTool,
  type TestNode,
} from './support/cluster.js';

const cluster = useCluster();

/** Three nodes, and a client whose session the first one owns. */
async function owned(options: Parameters<typeof cluster.mount>[0] = {}) {
  const nodes = await cluster.mount(
    typeof options === 'function' ? options : { affinity: 'owner', ...options },
  );
  const client = await clientOf(nodes[0]);
  return { nodes, client };
}

async function next(client: Awaited<ReturnType<typeof clientOf>>, node: TestNode) {
  return JSON.parse(await callTool(client, node, 'next')) as { count: number; nodeId: string };
}

describe("a session of a server with state in memory, with affinity: 'owner'", () => {
  it('keeps counting, whichever node gets its calls', async () => {
    const { nodes, client } = await owned();
    const [a] = nodes;
    for (let count = 1; count <= 60; count += 1) {
      const node = nodes[count % 3] as TestNode;
      expect(await next(client, node)).toEqual({ count, nodeId: a.nodeId });
    }
    for (const [at, node] of nodes.entries()) {
      expect(await node.call('built')).toHaveLength(at === 0 ? 1 : 0);
      expect((await node.call('health')).inFlight).toBe(0);
    }
    const info = await nodes[1].call('session', { sessionId: client.sessionId ?? '' });
    expect(info?.owner).toBe(a.nodeId);
  });

  it('runs concurrent calls once each', async () => {
    const { nodes, client } = await owned();
    const all = await Promise.all(
      Array.from({ length: 90 }, (_, at) => next(client, nodes[at % 3] as TestNode)),
    );
    expect(all.map(({ count }) => count).sort((x, y) => x - y)).toEqual(
      Array.from({ length: 90 }, (_, at) => at + 1),
    );
  });

  it('has one replica on each node without affinity', async () => {
    const nodes = await cluster.mount();
    const client = await clientOf(nodes[0]);
    for (const node of nodes) {
      expect(await next(client, node)).toEqual({ count: 1, nodeId: node.nodeId });
    }
  });

  it('streams, asks and is cancelled through nodes that do not own it', async () => {
    const { nodes, client } = await owned();
    const [a, b, c] = nodes;
    const meta = { progressToken: 'p' };
    const counting = await startTool(client, b, 'progress', { steps: 5 }, meta);
    expect(await counting.text()).toBe('progress: done');
    const shown = counting.stream.messages.filter(hasProgress);
    expect(shown.map(({ params }) => params?.['progress'])).toEqual([1, 2, 3, 4, 5]);

    const asking = await startTool(client, b, 'elicit', { message: 'name?' });
    const { message } = await asking.stream.next(hasMethod('elicitation/create'));
    const ada = { action: 'accept', content: { name: 'Ada' } };
    await client.respond(c.url, message?.id ?? '', ada);
    expect(JSON.parse(await asking.text())).toEqual(ada);

    const listener = await client.listen(c.url);
    const pushed = { sessionId: client.sessionId ?? '', as: 'news', from: 1 };
    await a.call('push', pushed);
    await listener.next(says('news 1'));

    const held = await startTool(client, b, 'hold', { key: `cancel ${b.nodeId}` });
    await a.until(`held:cancel ${b.nodeId}`);
    await client.notify(c.url, 'notifications/cancelled', { requestId: held.id });
    await a.until(`aborted:cancel ${b.nodeId}`);
    await held.stream.ended;
    expect(held.stream.messages).toEqual([]);
  });

  it('resumes a stream on a third node', async () => {
    const { nodes, client } = await owned();
    const [a, b, c] = nodes;
    const key = `resume ${a.nodeId}`;
    const held = await startTool(client, b, 'hold', { key });
    await a.until(`held:${key}`);
    await a.call('say', { key, data: 'one' });
    await held.stream.next(says('one'));
    held.stream.close();
    const resumed = await client.listen(c.url, { lastEventId: held.stream.lastEventId ?? '' });
    await a.call('say', { key, data: 'two' });
    await resumed.next(says('two'));
    await a.call('release', { key, text: 'done' });
    expect(resultText((await resumed.next(answers(held.id))).message)).toBe('done');
    expect(logged(resumed)).toEqual(['two']);
  });

  it('sees the authorization of each call, which is stored nowhere', async () => {
    const { nodes } = await owned();
    const [a, b] = nodes;
    const secret = `s3cret-${a.nodeId}`;
    const client = await clientOf(a, { authorization: `Bearer ada/${secret}` });
    const redis = new Redis(redisUrl());
    const whole = 'x'.repeat(200_000);
    for (const text of ['small', whole]) {
      const answer = await callTool(client, b, 'length', { text });
      expect(JSON.parse(answer)).toEqual({ length: text.length, clientId: 'ada' });
    }
    const keys = await redis.keys(`*${client.sessionId ?? ''}*`);
    expect(keys.length).toBeGreaterThanOrEqual(3);
    for (const key of keys) {
      const type = await redis.type(key);
      const value = type === 'hash' ? await redis.hgetall(key) : await redis.xrange(key, '-', '+');
      expect(JSON.stringify(value)).not.toContain(secret);
    }
    redis.disconnect();
  });

  // Over 64 KiB the owner reads from the log: pub/sub buffers are no place for it.
  it('sends large messages through the log', async () => {
    const { nodes, client } = await owned();
    const [a, b] = nodes;
    const redis = new Redis(redisUrl());
    const sizes: number[] = [];
    await redis.psubscribe(`*:inbox:${a.nodeId}`);
    redis.on('pmessage', (_pattern, _channel, text: string) => sizes.push(text.length));
    const text = 'x'.repeat(500_000);
    expect(JSON.parse(await callTool(client, b, 'length', { text }))).toMatchObject({
      length: text.length,
    });
    // Its reply comes after all that was published before, on whichever way the answer has come.
    await redis.punsubscribe();
    redis.disconnect();
    expect(sizes.length).toBeGreaterThan(0);
    expect(Math.max(...sizes)).toBeLessThan(10_000);
  });

  it('gets its log level, subscriptions and notifications from any node', async () => {
    const { nodes, client } = await owned();
    const [, b, c] = nodes;
    await client.request(b.url, 'logging/setLevel', { level: 'error' });
    await client.request(c.url, 'resources/subscribe', { uri: 'a://1' });
    expect(JSON.parse(await callTool(client, b, 'subscriptions'))).toEqual(['a://1']);
    const listener = await client.listen(b.url);
    await callTool(client, c, 'log', { level: 'info', data: 'quiet' });
    await callTool(client, c, 'log', { level: 'error', data: 'loud' });
    await listener.next(says('loud'));
    expect(logged(listener)).toEqual(['loud']);
    await c.call('resourceUpdated', { uri: 'a://1' });
    await listener.next(hasMethod('notifications/resources/updated'));
  });

  it('is initialized once, whichever node gets `initialized`', async () => {
    const nodes = await cluster.mount({ affinity: 'owner', welcomes: true });
    const [a, b, c] = nodes;
    const client = newClient();
    await client.initialize(a.url, { initialized: b.url });
    await a.until('initialized');
    const listener = await client.listen(c.url);
    await listener.next(says(`welcome from ${a.nodeId}`));
    await callTool(client, c, 'next');
    expect(
      await Promise.all(nodes.map((node) => node.call('count', { of: 'initialized' }))),
    ).toEqual([1, 0, 0]);
  });

  it('answers batches and in JSON mode as without affinity', async () => {
    const { nodes } = await owned({ responseMode: 'json' });
    const [a, b, c] = nodes;
    const client = newClient({ protocolVersion: '2025-03-26' });
    await client.initialize(a.url);
    const calls = [1, 2, 3].map(() => ({
      id: client.nextId(),
      method: 'tools/call',
      params: { name: 'next', arguments: {} },
    }));
    const answer = await client.post(b.url, [
      ...calls.map(({ id, method, params }) => request(id, method, params)),
      notification('notifications/roots/list_changed'),
    ]);
    const messages = answer.expect(200).json() as unknown as { id: number }[];
    expect(messages.map(({ id }) => id).sort()).toEqual(calls.map(({ id }) => id));
    const fourth = await client.request(c.url, 'tools/call', { name: 'next', arguments: {} });
    expect(JSON.parse(resultText(fourth))).toEqual({ count: 4, nodeId: a.nodeId });
  });

  it('ends on all nodes when it is deleted', async () => {
    const { nodes, client } = await owned();
    const [a, b, c] = nodes;
    await next(client, b);
    (await client.delete(c.url)).expect(200);
    for (const node of [a, b, c]) {
      expect((await client.post(node.url, request(99, 'tools/list'))).status).toBe(404);
    }
    await expect.poll(async () => (await a.call('health')).sessions).toBe(0);
  });

  it('has no owner any more when its owner has discarded the idle replica', async () => {
    const { nodes, client } = await owned({ replicaIdleMs: 200 });
    const [, b] = nodes;
    expect((await next(client, b)).count).toBe(1);
    // Of whichever node: a moment without a call is enough for another one to have it already.
    await expect
      .poll(async () => {
        const all = await Promise.all(nodes.map((node) => node.call('health')));
        return all.map(({ sessions }) => sessions);
      })
      .toEqual([0, 0, 0]);
    const info = await b.call('session', { sessionId: client.sessionId ?? '' });
    expect(info?.owner).toBeUndefined();
    expect(await next(client, b)).toEqual({ count: 1, nodeId: b.nodeId });
  });
});

describe('an owner that is drained', () => {
  it('hands idle sessions over at once, and others when they are idle', async () => {
    const { nodes, client } = await owned();
    const [a, b, c] = nodes;
    expect(await next(client, b)).toEqual({ count: 1, nodeId: a.nodeId });
    const busy = await clientOf(a);
    const key = `drain ${a.nodeId}`;
    const held = await holdTool(busy, a, key);
    const closing = a.call('close', { drainMs: 10_000 });
    await expect.poll(async () => (await a.call('health')).status).toBe('draining');
    await expect.poll(async () => (await next(client, c)).nodeId).toBe(c.nodeId);
    // The one that works goes on with its work, and is asked for more meanwhile.
    expect(await next(busy, b)).toEqual({ count: 1, nodeId: a.nodeId });
    expect(await resumedAndReleased(busy, b, held, key)).toBe('released');
    await closing;
    expect((await next(busy, b)).nodeId).toBe(b.nodeId);
    const built = await c.call('built');
    expect(built).toMatchObject([{ rehydrated: true }]);
  });

  // One that had a call in it when its node began to close stayed there, and its last call was cut off with the node.
  it('hands a session over as soon as it is idle, while another one is still in use', async () => {
    const { nodes, client } = await owned();
    const [a, b] = nodes;
    const busy = await clientOf(a);
    const [key, longer] = [`drain ${a.nodeId}`, `on ${a.nodeId}`];
    const held = await holdTool(client, a, key);
    const other = await holdTool(busy, a, longer);
    const closing = a.call('close', { drainMs: 30_000 });
    await expect.poll(async () => (await a.call('health')).status).toBe('draining');
    expect(await resumedAndReleased(client, b, held, key)).toBe('released');
    await expect.poll(async () => (await next(client, b)).nodeId).toBe(b.nodeId);
    // What comes to it all the same is passed on.
    expect(await next(client, a)).toMatchObject({ nodeId: b.nodeId });
    expect((await a.call('health')).inFlight).toBe(1);
    expect(await resumedAndReleased(busy, b, other, longer)).toBe('released');
    await closing;
  });

  // A call that came between the end of the last one and the handing over made the closing node the owner again, to the end.
  it('hands over a session that came back to it when the next request reaches another node', async () => {
    const { nodes, client } = await owned();
    const [a, b] = nodes;
    const busy = await clientOf(a);
    const key = `drain ${a.nodeId}`;
    const held = await holdTool(busy, a, key);
    const closing = a.call('close', { drainMs: 30_000 });
    await expect.poll(async () => (await a.call('health')).status).toBe('draining');
    await expect.poll(async () => (await a.call('health')).sessions).toBe(1);
    expect(await next(client, a)).toEqual({ count: 1, nodeId: a.nodeId });
    expect(await next(client, b)).toEqual({ count: 1, nodeId: b.nodeId });
    expect(await resumedAndReleased(busy, b, held, key)).toBe('released');
    await closing;
  });
});

/** What a call ends with that a closing node was made to hold, once its client has come back on another node. */
async function resumedAndReleased(
  client: RawClient,
  node: TestNode,
  held: RunningTool,
  key: string,
): Promise<string> {
  await held.stream.ended;
  const resumed = await client.listen(node.url, { lastEventId: held.stream.lastEventId ?? '' });
  await held.node.call('release', { key, text: 'released' });
  return resultText((await resumed.next(answers(held.id))).message);
}

function hasProgress({ method }: { method?: string }): boolean {
  return method === 'notifications/progress';
}
