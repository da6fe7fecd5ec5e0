/** Encryption at rest with nodes as processes: what can be found in Redis, and nodes with different keys. */
import { randomBytes } from 'node:crypto';
import { describe, expect, it, onTestFinished } from 'vitest';
import { startRedis } from '../rig/redis.js';
import type { SessionEvent } from '../../src/index.js';
import { answers, hasMethod, notification, request, response } from '../support/mcp-http.js';
import { uniquePrefix } from '../support/redis-fixture.js';
import {
  callTool,
  clientOf,
  logged,
  newClient,
  says,
  startTool,
  useCluster,
  type Nodes,
} from './support/cluster.js';
import { searchRedis } from './support/search.js';

const cluster = useCluster();

const newKey = () => randomBytes(32).toString('base64');
const accept = (name: string) => ({ action: 'accept', content: { name } });
const sampled = (text: string) => ({
  model: 'm',
  role: 'assistant',
  content: { type: 'text', text },
});

describe.each(['any', 'owner'] as const)('the data in Redis (affinity: %s)', (affinity) => {
  const NAMES = [
    ...['client', 'token', 'argument', 'result', 'notice', 'question', 'answer', 'asked'],
    ...['sampled', 'reason', 'announced', 'tool', 'big', 'state'],
    ...['status', 'queued', 'outcome', 'event', 'uri', 'detail'],
  ] as const;
  type Words = Record<(typeof NAMES)[number], string>;

  const newWords = () =>
    Object.fromEntries(NAMES.map((name) => [name, name + randomBytes(8).toString('hex')])) as Words;

  /** Does everything in a session over three nodes. */
  async function play([a, b, c]: Nodes, words: Words): Promise<void> {
    const executor = affinity === 'owner' ? a : b;
    const client = newClient({ headers: { authorization: `Bearer ada/${words.token}` } });
    const capabilities = { elicitation: {}, sampling: {} };
    const clientInfo = { name: words.client, version: '1' };
    await client.initialize(a.url, { capabilities, clientInfo });
    const { sessionId = '' } = client;
    const listener = await client.listen(c.url);

    expect(await callTool(client, b, 'echo', { text: words.argument })).toBe(words.argument);
    const big = 'x'.repeat(70_000) + words.big;
    expect(await callTool(client, b, 'echo', { text: big })).toBe(big);
    await client.request(b.url, 'tools/call', { name: words.tool, arguments: {} });

    const running = await startTool(client, b, 'hold', { key: words.result });
    await executor.until(`held:${words.result}`);
    await executor.call('say', { key: words.result, data: words.notice });
    await running.stream.next(says(words.notice));
    await executor.call('release', { key: words.result, text: words.result });
    expect(await running.text()).toBe(words.result);

    const asking = await startTool(client, b, 'elicit', { message: words.question });
    const asked = await asking.stream.next(hasMethod('elicitation/create'));
    await client.respond(c.url, asked.message?.id ?? '', accept(words.answer));
    expect(await asking.text()).toContain(words.answer);
    const sampling = await startTool(client, b, 'sample', { text: words.asked });
    const sample = await sampling.stream.next(hasMethod('sampling/createMessage'));
    await client.respond(c.url, sample.message?.id ?? '', sampled(words.sampled));
    expect(await sampling.text()).toContain(words.sampled);

    const given = await startTool(client, b, 'hold', { key: words.reason });
    await executor.until(`held:${words.reason}`);
    const cancelled = { requestId: given.id, reason: words.reason };
    await client.notify(c.url, 'notifications/cancelled', cancelled);
    await executor.until(`aborted:${words.reason}`);

    await b.call('notify', { sessionId, data: words.announced });
    await listener.next(says(words.announced));
    await b.call('setState', { sessionId, value: { note: words.state } });
    expect(await c.call('state', { sessionId })).toEqual({ note: words.state });
    await playSdkStores([a, b, c], words, sessionId);
  }

  async function playSdkStores([a, b, c]: Nodes, words: Words, sessionId: string): Promise<void> {
    const taskId = await a.call('createTask', { sessionId });
    const task = { taskId, sessionId };
    const status = 'input_required' as const;
    await a.call('changeTask', { ...task, status, text: words.status });
    expect(await b.call('task', task)).toMatchObject({ status, statusMessage: words.status });
    const message = { ...notification('notifications/x', { text: words.queued }), method: 'x' };
    await a.call('enqueue', {
      ...task,
      message: { type: 'notification', timestamp: 1, message },
    });
    expect(await c.call('dequeue', task)).toMatchObject({ message });
    await a.call('endTask', { ...task, result: { text: words.outcome } });
    expect(await b.call('taskResult', task)).toEqual({ text: words.outcome });

    const first = await a.call('storeEvent', { sessionId, message: {} });
    const event = notification('notifications/x', { text: words.event });
    await b.call('storeEvent', { sessionId, message: event });
    expect(await c.call('replay', { sessionId, after: first })).toEqual([event]);

    await b.call('hear');
    const params = { text: words.detail };
    const changed = { kind: 'resource_updated', uri: words.uri, params } as const;
    await c.call('publish', { event: changed });
    await expect.poll(() => b.call('heard')).toEqual([changed]);
  }

  async function searched(encrypted?: { keys: Record<string, string>; current: string }) {
    const server = await startRedis();
    onTestFinished(server.stop);
    const search = await searchRedis(server.url);
    const prefix = uniquePrefix();
    const options = { redis: server.url, prefix, affinity, ...(encrypted && { encrypted }) };
    const words = newWords();
    await play(await cluster.mount(options), words);
    const all = Object.values(words);
    const name = (word: string) => NAMES.find((each) => words[each] === word);
    return {
      sent: (await search.sent(all)).map(name),
      stored: (await search.stored(all)).map(name),
    };
  }

  it('has no text of a session in any key or command with a codec', async () => {
    const key = newKey();
    expect(await searched({ keys: { k1: key }, current: 'k1' })).toEqual({
      sent: [],
      stored: [],
    });
  }, 60_000);

  it('the twin: has each text without a codec', async () => {
    const { sent, stored } = await searched();
    // A token goes along with requests to an owner, and is stored nowhere.
    const never = affinity === 'owner' ? [] : ['token'];
    expect(sent).toEqual(NAMES.filter((name) => !never.includes(name)));
    expect(stored).toEqual(expect.arrayContaining(NAMES.filter((name) => name !== 'token')));
    expect(stored).not.toContain('token');
  }, 60_000);
});

/** Two nodes do everything with each other, in a session that the first one has created. */
async function getAlong([a, b]: [Nodes[0], Nodes[0]], client = newClient()): Promise<void> {
  if (client.sessionId === undefined) {
    await client.initialize(a.url, { capabilities: { elicitation: {} } });
  }
  const { sessionId = '' } = client;
  const listener = await client.listen(b.url);
  const word = randomBytes(8).toString('hex');
  await a.call('notify', { sessionId, data: word });
  await listener.next(says(word));
  for (const [at, other] of [
    [a, b],
    [b, a],
  ] as const) {
    const asking = await startTool(client, at, 'elicit', { message: word });
    const { message } = await asking.stream.next(hasMethod('elicitation/create'));
    await client.respond(other.url, message?.id ?? '', accept(word));
    expect(await asking.text()).toContain(word);
    await at.call('setState', { sessionId, value: word });
    expect(await other.call('state', { sessionId })).toBe(word);
    const events = (await other.call('events', { sessionId })) as SessionEvent[];
    expect(events.filter(({ unreadable }) => unreadable === true)).toEqual([]);
  }
  listener.close();
}

describe('a change of keys under living sessions', () => {
  it.each([
    [
      'rotation',
      (() => {
        const [k1, k2] = [newKey(), newKey()];
        return [
          { keys: { k1 }, current: 'k1' },
          { keys: { k1, k2 }, current: 'k1' },
          { keys: { k1, k2 }, current: 'k2' },
          { keys: { k2 }, current: 'k2' },
        ];
      })(),
    ],
    [
      'turning it on',
      (() => {
        const [keys, current] = [{ k1: newKey() }, 'k1'];
        return [
          undefined,
          { keys, current, allowPlaintext: true, decryptOnly: true },
          { keys, current, allowPlaintext: true },
          { keys, current },
        ];
      })(),
    ],
  ])(
    'keeps two nodes at neighbouring steps compatible: %s',
    async (_, steps) => {
      const prefix = uniquePrefix();
      const oldest = newClient();
      for (let step = 0; step < 3; step += 1) {
        const [a, b] = await cluster.mount((at) => {
          const encrypted = steps[step + Math.min(at, 1)];
          // The last step is for the time when no session of the first key is left.
          return { prefix, mayComplain: step === 2, ...(encrypted && { encrypted }) };
        });
        await getAlong([a, b]);
        await getAlong([b, a]);
        if (step < 2) await getAlong([a, b], oldest);
        else expect((await oldest.post(b.url, request(1, 'ping'))).status).toBe(503);
      }
    },
    60_000,
  );
});

describe('a node with another key', () => {
  async function wrongKey(mayComplain = false) {
    const [right, wrong] = [newKey(), newKey()];
    const prefix = uniquePrefix();
    const nodes = await cluster.mount((at) => ({
      ...{ prefix, mayComplain: mayComplain || at === 2 },
      encrypted: { keys: { k1: at === 2 ? wrong : right }, current: 'k1' },
    }));
    return { nodes, wrong, right };
  }

  // Bug: the node acknowledged answers that no node could read, and what it announced ended each stream at that place
  // for good.
  it('answers 503 for sessions of other nodes, stores nothing in them, and logs why', async () => {
    const { nodes, wrong, right } = await wrongKey();
    const [a, b, c] = nodes;
    const client = await clientOf(a);
    const { sessionId = '' } = client;
    const listener = await client.listen(b.url);
    await a.call('setState', { sessionId, value: 'kept' });
    const asking = await startTool(client, a, 'elicit', { message: 'who?' });
    const { message } = await asking.stream.next(hasMethod('elicitation/create'));
    const question = message?.id ?? '';

    for (const refused of [
      await client.post(c.url, request(77, 'tools/call', { name: 'echo', arguments: {} })),
      await client.post(c.url, response(question, accept('lost'))),
      await client.post(c.url, notification('notifications/cancelled', { requestId: asking.id })),
      await client.get(c.url),
      await client.get(c.url, { lastEventId: asking.stream.lastEventId ?? '' }),
    ]) {
      expect(refused.status).toBe(503);
      expect(refused.headers['retry-after']).toBe('1');
      expect(refused.body).toContain('This node cannot read the session');
    }
    const undecodable = /cannot (be )?decode/;
    await expect(c.call('notify', { sessionId, data: 'lost' })).rejects.toThrow(undecodable);
    await expect(c.call('toolsChanged')).rejects.toThrow(undecodable);
    await expect(c.call('setState', { sessionId, value: 'lost' })).rejects.toThrow(undecodable);
    await expect(c.call('state', { sessionId })).rejects.toThrow(undecodable);
    const complaints = (await c.call('complaints')).join('\n');
    expect(complaints).toContain('the codec cannot decode the record of a session: key "k1"');
    for (const key of [wrong, right]) expect(complaints).not.toContain(key);

    // The others have seen nothing of it: not even the listener's connection was taken.
    await client.respond(b.url, question, accept('Ada'));
    expect(await asking.text()).toContain('Ada');
    await a.call('notify', { sessionId, data: 'still' });
    await listener.next(says('still'));
    expect(logged(listener)).toEqual(['still']);
    expect(await b.call('state', { sessionId })).toBe('kept');
    await callTool(client, b, 'echo', { text: 'on' });
    const again = await client.listen(a.url, { lastEventId: listener.primings[0]?.id ?? '' });
    await again.next(says('still'));
  });

  it('serves sessions of its own, which the other nodes cannot read either', async () => {
    // The others are given something that they cannot read, which is theirs to complain of.
    const { nodes } = await wrongKey(true);
    const [a, , c] = nodes;
    const client = await clientOf(c);
    expect(await callTool(client, c, 'echo', { text: 'mine' })).toBe('mine');
    expect((await client.post(a.url, request(9, 'ping'))).status).toBe(503);
    // What can be told without reading can be told.
    expect((await client.delete(a.url)).status).toBe(200);
    expect((await client.post(c.url, request(10, 'ping'))).status).toBe(404);
    const complaints = (await a.call('complaints')).join('\n');
    expect(complaints).toContain('cannot decode the record of a session');
  });

  it('shows events as unreadable, with what is stored of them in clear', async () => {
    const { nodes } = await wrongKey();
    const [a, b, c] = nodes;
    const client = await clientOf(a);
    const { sessionId = '' } = client;
    await callTool(client, b, 'echo', { text: 'x' });
    const own = (await b.call('events', { sessionId })) as SessionEvent[];
    const seen = (await c.call('events', { sessionId })) as SessionEvent[];
    expect(seen).toHaveLength(own.length);
    expect(seen).toEqual(
      own.map(({ message, method, requestId, ...event }) => ({
        ...event,
        ...(message !== undefined && { unreadable: true }),
      })),
    );
    expect(await c.call('session', { sessionId })).toMatchObject({
      ...{ id: sessionId, unreadable: true, state: 'active' },
      clientInfo: { name: '', version: '' },
    });
  });

  it("takes no message out of a task's queue that it cannot read, and shows a task's status", async () => {
    const { nodes } = await wrongKey();
    const [a, b, c] = nodes;
    const sessionId = 's';
    const task = { taskId: await a.call('createTask', { sessionId }), sessionId };
    const message = (text: string) => ({
      ...{ type: 'notification' as const, timestamp: 1 },
      message: { jsonrpc: '2.0' as const, method: 'x', params: { text } },
    });
    for (const text of ['one', 'two']) {
      await a.call('enqueue', { ...task, message: message(text) });
    }
    for (let at = 0; at < 2; at += 1) {
      await expect(c.call('dequeue', task)).rejects.toThrow('queue of task');
    }
    expect(await b.call('dequeue', task)).toEqual(message('one'));
    expect(await b.call('dequeue', task)).toEqual(message('two'));
    await a.call('changeTask', { ...task, status: 'working', text: 'half' });
    const task_ = await c.call('task', task);
    expect(task_).toMatchObject({ status: 'working' });
    expect(task_?.statusMessage).toBeUndefined();
    await a.call('endTask', { ...task, result: { text: 'done' } });
    await expect(c.call('taskResult', task)).rejects.toThrow('cannot be decoded');
    expect(await b.call('taskResult', task)).toEqual({ text: 'done' });

    const first = await a.call('storeEvent', { sessionId, message: {} });
    const event = notification('x', {});
    await a.call('storeEvent', { sessionId, message: event });
    await expect(c.call('replay', { sessionId, after: first })).rejects.toThrow(
      'cannot be decoded',
    );
    expect(await b.call('replay', { sessionId, after: first })).toEqual([event]);
  });

  it('tells its listeners of all lists if it cannot read what has changed', async () => {
    const { nodes } = await wrongKey();
    const [a, b, c] = nodes;
    for (const node of [b, c]) await node.call('hear');
    const changed = { kind: 'resource_updated', uri: 'r:1' } as const;
    await a.call('publish', { event: changed });
    await expect.poll(() => b.call('heard')).toEqual([changed]);
    const lists = ['tools_list_changed', 'prompts_list_changed', 'resources_list_changed'];
    await expect.poll(async () => (await c.call('heard')).map(({ kind }) => kind)).toEqual(lists);
  });
});

it('a message that a node cannot read ends the stream there, and never leaves a gap', async () => {
  const [k1, k2] = [newKey(), newKey()];
  const prefix = uniquePrefix();
  const [a, b] = await cluster.mount((at) => ({
    ...{ prefix, mayComplain: at === 1 },
    // A mistake in the order of a rotation: the new key is used before it is everywhere.
    encrypted: at === 1 ? { keys: { k1 }, current: 'k1' } : { keys: { k1, k2 }, current: 'k2' },
  }));
  const client = newClient();
  // Its record is one that all can read.
  await client.initialize(b.url);
  const { sessionId = '' } = client;
  const listener = await client.listen(b.url);
  await b.call('notify', { sessionId, data: 'one' });
  await listener.next(says('one'));
  await a.call('notify', { sessionId, data: 'two' });
  await listener.ended;
  await b.call('notify', { sessionId, data: 'three' });
  expect(logged(listener)).toEqual(['one']);
  const cursor = listener.lastEventId ?? '';
  const there = await client.listen(b.url, { lastEventId: cursor });
  await there.ended;
  expect(logged(there)).toEqual([]);
  const here = await client.listen(a.url, { lastEventId: cursor });
  await here.next(says('three'));
  expect(logged(here)).toEqual(['two', 'three']);
  const id = client.nextId();
  const { sse } = await client.post(a.url, request(id, 'ping'));
  await sse.next(answers(id));
});
