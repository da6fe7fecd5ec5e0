import { Server } from '@modelcontextprotocol/sdk/server/index.js';
import { CallToolRequestSchema, SetLevelRequestSchema } from '@modelcontextprotocol/sdk/types.js';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import type { Membership, NodeMessage } from '../../src/backplane/backplane.js';
import type { Backplane } from '../../src/index.js';
import { memoryBackplane } from '../../src/index.js';
import { openSession, rawClient, startNode } from '../integration/support/serve.js';
import { request, type RawClient } from '../support/mcp-http.js';

/** A server that notes the levels it is told, and whose tool says so many numbers. */
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
it('a replica that catches up loses nothing of its running calls', async () => {
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
it('list_changed does not hide a level set just before', async () => {
  const backplane = memoryBackplane();
  const slow: Backplane = {
    join(options) {
      const membership = backplane.join(options);
      const load: Membership['load'] = async (id) => {
        await sleep(50);
        return membership.load(id);
      };
      return new Proxy(membership, {
        get: (target, name) => {
          if (name === 'load') return load;
          const value: unknown = Reflect.get(target, name);
          return typeof value === 'function' ? (value.bind(target) as unknown) : value;
        },
      });
    },
  };
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

// The same with a second `initialized`, say after a 503: it made no revision, but was taken to have made the last.
it('a repeated initialized does not hide a level set elsewhere', async () => {
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
it('a server is told once that its client is initialized, though another node took that and a request came first', async () => {
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
it('a server is told once that its client is initialized, though a request comes while it is being built', async () => {
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
