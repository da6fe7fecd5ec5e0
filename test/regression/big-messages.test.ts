/** Large messages of clients for another node go through the log. Only a wake-up is published. */
import { Redis } from 'ioredis';
import { expect, it, onTestFinished } from 'vitest';
import { scriptedServer } from '../integration/support/scripted-server.js';
import { openSession, startNode } from '../integration/support/serve.js';
import { hasMethod, notification, request, response } from '../support/mcp-http.js';
import { redisUrl, uniquePrefix } from '../support/redis-fixture.js';

const BIG = 'x'.repeat(500_000);

/** Records the sizes of the messages that are published to a node from now on. */
async function published(nodeId: string): Promise<number[]> {
  const redis = new Redis(redisUrl());
  onTestFinished(() => redis.disconnect());
  const sizes: number[] = [];
  redis.on('pmessage', (_pattern, _channel, text: string) => void sizes.push(text.length));
  await redis.psubscribe(`*:inbox:${nodeId}`);
  return sizes;
}

// Bug: the answer was published whole. Several of them at once exceed the output buffer that Redis gives a subscriber,
// which is then cut off.
it('a large answer reaches the node that asked through the log', async () => {
  const both = { redis: redisUrl(), prefix: uniquePrefix() };
  let answered: unknown;
  const a = await startNode({
    ...both,
    tools: {
      ask: async ({ server }) => {
        const roots = await server.listRoots();
        answered = roots.roots[0]?.name?.length;
        return 'done';
      },
    },
  });
  const b = await startNode(both);
  const { client } = await openSession(a.url, { capabilities: { roots: {} } });
  const listener = await client.listen(b.url);
  const sizes = await published(a.mcp.nodeId);
  const id = client.nextId();
  const answer = await client.post(a.url, request(id, 'tools/call', { name: 'ask' }));
  const { message } = await listener.next(hasMethod('roots/list'));
  const roots = [{ uri: 'file:///x', name: BIG }];
  (await client.post(b.url, response(message?.id ?? '', { roots }))).expect(202);
  expect(await answer.answer(id)).toHaveProperty('result');
  expect(answered).toBe(BIG.length);
  expect(sizes.length).toBeGreaterThan(0);
  expect(Math.max(...sizes)).toBeLessThan(10_000);
});

it('a large notification reaches the owner of its session through the log, in its order', async () => {
  const heard: unknown[] = [];
  const both = {
    ...{ redis: redisUrl(), prefix: uniquePrefix(), affinity: 'owner' as const },
    server: () => {
      const server = scriptedServer();
      server.fallbackNotificationHandler = ({ method, params }) => {
        const { length } = params?.['text'] as string;
        heard.push([method, length]);
        return Promise.resolve();
      };
      return server;
    },
  };
  const a = await startNode(both);
  const b = await startNode(both);
  const { client } = await openSession(a.url);
  const sizes = await published(a.mcp.nodeId);
  for (const text of ['small', BIG, 'small again']) {
    (await client.post(b.url, notification('notifications/custom', { text }))).expect(202);
  }
  const lengths = [5, BIG.length, 11].map((length) => ['notifications/custom', length]);
  await expect.poll(() => heard).toHaveLength(3);
  expect(heard).toEqual(lengths);
  expect(sizes.length).toBeGreaterThan(0);
  expect(Math.max(...sizes)).toBeLessThan(10_000);
  expect([...a.logged, ...b.logged]).toEqual([]);
});
