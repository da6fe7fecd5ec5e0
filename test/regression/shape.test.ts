import { Server } from '@modelcontextprotocol/sdk/server/index.js';
import {
  CallToolRequestSchema,
  InitializeRequestSchema,
  SetLevelRequestSchema,
  SubscribeRequestSchema,
} from '@modelcontextprotocol/sdk/types.js';
import { setTimeout as sleep } from 'node:timers/promises';
import express from 'express';
import { expect, it, onTestFinished } from 'vitest';
import type { NodeMessage } from '../../src/backplane/backplane.js';
import type { Backplane } from '../../src/index.js';
import { anynode, memoryBackplane } from '../../src/index.js';
import { legacySse } from '../../src/legacy-sse/index.js';
import { listen, openSession, rawClient, startNode } from '../integration/support/serve.js';
import { signal } from '../integration/support/signal.js';
import { notification, request, type JsonRpc, type RawClient } from '../support/mcp-http.js';
import { wrappedBackplane } from '../support/wrapped-backplane.js';

/** A server that records the log levels it is told, and whose tool sends a number of messages. */
function chatty(levels: string[] = [], levelMs = 0): Server {
  const capabilities = { tools: {}, logging: {} };
  const server = new Server({ name: 'chatty', version: '1.0.0' }, { capabilities });
  server.setRequestHandler(SetLevelRequestSchema, async ({ params }) => {
    levels.push(params.level);
    await sleep(levelMs);
    return {};
  });
  server.setRequestHandler(CallToolRequestSchema, async ({ params }, { sendNotification }) => {
    for (let data = 0; data < Number(params.arguments?.['count'] ?? 0); data += 1) {
      const message = { level: 'info' as const, data };
      await sendNotification({ method: 'notifications/message', params: message });
      await sleep(1);
    }
    return { content: [] };
  });
  return server;
}

const setLevel = (client: RawClient, url: string, level: string) =>
  client.request(url, 'logging/setLevel', { level });

// A replica that is told of a level set elsewhere was muted as a whole meanwhile, as if it were being rebuilt: what
// its running calls said in that time was dropped.
it('a replica that catches up shows all messages of its running calls', async () => {
  const backplane = memoryBackplane();
  const one = await startNode({ backplane, server: () => chatty([], 20) });
  const two = await startNode({ backplane, server: () => chatty() });
  const { client } = await openSession(one.url);

  const call = { name: 'count', arguments: { count: 100 } };
  const answer = await client.post(one.url, request(50, 'tools/call', call));
  for (const level of ['debug', 'error', 'info']) await setLevel(client, two.url, level);
  await answer.answer(50);

  const said = answer.sse.messages.flatMap(({ params }) => params?.['data'] ?? []);
  expect(said).toEqual(Array.from({ length: 100 }, (_, at) => at));
});

// `roots/list_changed` goes out with the record's present revision, and the replica took it for what had made that
// revision: one that was about to catch up with a level believed that it had, for ever.
it('roots/list_changed does not hide a level that was set just before', async () => {
  const backplane = memoryBackplane();
  const slow = wrappedBackplane(backplane, (joined) => ({
    async load(id) {
      await sleep(50);
      return joined.load(id);
    },
  }));
  const levels: string[] = [];
  const one = await startNode({ backplane: slow, server: () => chatty(levels) });
  const two = await startNode({ backplane, server: () => chatty() });
  const { client } = await openSession(one.url);

  await setLevel(client, two.url, 'error');
  await client.notify(two.url, 'notifications/roots/list_changed');
  await sleep(200);
  await client.request(one.url, 'tools/call', { name: 'count' });

  expect(levels).toEqual(['error']);
});

// The reply was lost to the step that stored a level. The node did not count that level as one its server had been told of:
// when another node had set the level before it again, this node's server was left at the wrong one.
it('a replica gets the level of the record when the reply to its own change was lost', async () => {
  const store = memoryBackplane();
  let losesReply = false;
  const backplane: Backplane = {
    join(options) {
      const joined = store.join(options);
      const commit = joined.commit.bind(joined);
      joined.commit = async (step) => {
        const sets = step.operations.some((each) => each.type === 'append' && each.effect);
        if (losesReply && sets) await commit(step);
        return commit(step);
      };
      return joined;
    },
  };
  const levels: string[] = [];
  const one = await startNode({ backplane, server: () => chatty(levels) });
  const two = await startNode({ backplane: store, server: () => chatty() });
  const { client } = await openSession(one.url);

  await setLevel(client, one.url, 'debug');
  losesReply = true;
  await setLevel(client, one.url, 'error');
  await setLevel(client, two.url, 'debug');
  await client.request(one.url, 'tools/call', { name: 'count' });
  expect(levels.at(-1)).toBe('debug');
});

// The reply to its own change came while the node brought its server to the record, in which another node had changed that
// again. It noted that it had to look once more, and forgot that at the end: the server was left at its own level.
it('a replica gets the level of the record when the reply to its own change came late', async () => {
  const store = memoryBackplane();
  const [reply, subscribed] = [signal(), signal()];
  let isHeld = false;
  const backplane: Backplane = {
    join(options) {
      const joined = store.join(options);
      const commit = joined.commit.bind(joined);
      joined.commit = async (step) => {
        const committed = await commit(step);
        const sets = step.operations.some((each) => each.type === 'append' && each.effect);
        if (isHeld && sets) await reply.promise;
        return committed;
      };
      return joined;
    },
  };
  const levels: string[] = [];
  let subscriptions = 0;
  const server = (own: string[], answered: Promise<void> | undefined) => (): Server => {
    const made = chatty(own);
    made.registerCapabilities({ resources: { subscribe: true } });
    made.setRequestHandler(SubscribeRequestSchema, async () => {
      if (answered !== undefined) subscriptions += 1;
      await answered;
      return {};
    });
    return made;
  };
  const one = await startNode({ backplane, server: server(levels, subscribed.promise) });
  const two = await startNode({ backplane: store, server: server([], undefined) });
  const { client } = await openSession(one.url);

  await setLevel(client, one.url, 'error');
  isHeld = true;
  const answered = setLevel(client, one.url, 'debug');
  await expect.poll(() => levels).toEqual(['error', 'debug']);
  await setLevel(client, two.url, 'error');
  await client.request(two.url, 'resources/subscribe', { uri: 'test:///it' });
  await expect.poll(() => subscriptions).toBe(1);
  reply.resolve();
  await answered;
  await sleep(20);
  subscribed.resolve();
  await sleep(20);
  await client.request(one.url, 'tools/call', { name: 'count' });
  expect(levels.at(-1)).toBe('error');
});

// The same with a second `initialized`, say after a 503: it made no revision, but was taken to have made the last.
it('a repeated initialized does not hide a level that another node has set', async () => {
  const backplane = memoryBackplane();
  const deaf: Backplane = {
    join: (options) =>
      backplane.join({
        ...options,
        onMessage: (message: NodeMessage) => {
          if (message.type !== 'shape') options.onMessage(message);
        },
      }),
  };
  const levels: string[] = [];
  const one = await startNode({ backplane: deaf, server: () => chatty(levels) });
  const two = await startNode({ backplane, server: () => chatty() });
  const { client } = await openSession(one.url);

  await setLevel(client, two.url, 'error');
  await client.notify(one.url, 'notifications/initialized');
  await client.request(one.url, 'tools/call', { name: 'count' });

  expect(levels).toEqual(['error']);
});

// Word of it came after a request that had brought the server to the record: the server was told twice.
it('a server gets `initialized` once, although a request comes before the message from another node', async () => {
  const inner = memoryBackplane();
  const held: (() => void)[] = [];
  const late: Backplane = {
    join: (options) =>
      inner.join({
        ...options,
        onMessage: (message) => {
          if (message.type === 'shape') held.push(() => options.onMessage(message));
          else options.onMessage(message);
        },
      }),
  };
  let told = 0;
  const server = (): Server => {
    const made = chatty();
    made.oninitialized = () => (told += 1);
    return made;
  };
  const one = await startNode({ backplane: late, server });
  const two = await startNode({ backplane: inner, server });
  const client = rawClient();
  await client.initialize(one.url, { initialized: two.url });
  await client.request(one.url, 'ping');
  expect(told).toBe(1);
  for (const hear of held) hear();
  await sleep(20);
  expect(told).toBe(1);
});

// The same on the node that takes the notification, where the server is still being built for it when the request comes.
it('a server gets `initialized` once, although a request comes while the server is being built', async () => {
  const backplane = memoryBackplane();
  let told = 0;
  let build = (): void => undefined;
  const mayBuild = new Promise<void>((resolve) => (build = resolve));
  const server = async (): Promise<Server> => {
    await mayBuild;
    const made = chatty();
    made.oninitialized = () => (told += 1);
    return made;
  };
  const one = await startNode({ backplane, server: () => chatty() });
  const two = await startNode({ backplane, server });
  const client = rawClient();
  await client.initialize(one.url, { initialized: false });
  await one.mcp.close({ drainMs: 0 });
  await client.notify(two.url, 'notifications/initialized');
  const answered = client.request(two.url, 'ping');
  await sleep(20); // the request waits for the server too
  build();
  await answered;
  await sleep(20);
  expect(told).toBe(1);
});

// The level that its own call had set was told to the server once more, after another node's. What the server was told
// meanwhile was forgotten with that: it was initialized a second time.
it('a server gets `initialized` once, although its level is set again meanwhile', async () => {
  const backplane = memoryBackplane();
  const levels: string[] = [];
  let told = 0;
  const [own, again] = [signal(), signal()];
  const server = (): Server => {
    const made = chatty();
    made.oninitialized = () => (told += 1);
    made.setRequestHandler(SetLevelRequestSchema, async ({ params }) => {
      const at = levels.push(params.level);
      if (at === 1) await own.promise;
      if (at === 3) await again.promise;
      return {};
    });
    return made;
  };
  const one = await startNode({ backplane, server });
  const two = await startNode({ backplane, server: () => chatty() });
  const client = rawClient();
  await client.initialize(one.url, { initialized: false });
  const answered = setLevel(client, one.url, 'debug');
  await expect.poll(() => levels).toEqual(['debug']);
  await setLevel(client, two.url, 'error');
  await expect.poll(() => levels).toEqual(['debug', 'error']);
  own.resolve();
  await answered;
  await expect.poll(() => levels).toEqual(['debug', 'error', 'debug']);
  await client.notify(two.url, 'notifications/initialized');
  await expect.poll(() => told).toBe(1);
  again.resolve();
  await client.request(one.url, 'ping');
  await sleep(20);
  expect(told).toBe(1);
  expect(levels.at(-1)).toBe('debug');
});

// With HTTP+SSE a server may be there before its client says who it is, so that `initialize` is told to it later, too.
it.each([
  ['the node that catches up', 0],
  ['another node', 1],
])('a server that gets `initialize` late gets `initialized` once: on %s', async (_, to) => {
  const backplane = memoryBackplane();
  let told = 0;
  const server = (): Server => {
    const made = chatty();
    made.oninitialized = () => (told += 1);
    made.setRequestHandler(InitializeRequestSchema, async () => {
      await sleep(50);
      const capabilities = { tools: {}, logging: {} };
      return { protocolVersion: '2024-11-05', capabilities, serverInfo };
    });
    return made;
  };
  const serverInfo = { name: 'chatty', version: '1.0.0' };
  const nodes = await Promise.all(
    [server, () => chatty()].map(async (make) => {
      const mcp = anynode({ server: make, backplane });
      onTestFinished(() => mcp.close({ drainMs: 0 }));
      const url = await listen(express().use(legacySse(mcp)));
      return new URL(url).origin;
    }),
  );
  const client = rawClient();
  const stream = await client.listen(`${nodes[0]}/sse`);
  const { data } = await stream.next();
  const say = (node: number, message: JsonRpc) => client.post(`${nodes[node]}${data}`, message);
  await say(0, request(1, 'ping'));
  await stream.next();
  const clientInfo = { name: 'late', version: '1' };
  const params = { protocolVersion: '2024-11-05', capabilities: {}, clientInfo };
  await say(1, request(2, 'initialize', params));
  await stream.next();
  await Promise.all([
    say(to, notification('notifications/initialized')),
    say(0, request(3, 'ping')),
    say(0, request(4, 'ping')),
  ]);
  await stream.next();
  await stream.next();
  await sleep(80);
  expect(told).toBe(1);
});
