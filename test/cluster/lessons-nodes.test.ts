/** How other systems fail with what nodes share. The comment of each test says where that was seen. */
import { expect, it, onTestFinished } from 'vitest';
import { startRedis, startRedisCluster } from '../rig/redis.js';
import { request } from '../support/mcp-http.js';
import { connectRedis, uniquePrefix } from '../support/redis-fixture.js';
import {
  callTool,
  clientOf,
  logged,
  newClient,
  startTool,
  useCluster,
  type Nodes,
} from './support/cluster.js';

const cluster = useCluster();

/** A session's life in short, each step on another node than the one before. */
async function liveOn([a, b, c]: Nodes): Promise<void> {
  const client = await clientOf(a);
  const { sessionId = '' } = client;
  const stream = await client.listen(b.url);
  await c.call('notify', { sessionId, data: 'one' });
  await stream.first(1);
  stream.close();
  await a.call('notify', { sessionId, data: 'two' });
  const resumed = await client.listen(c.url, { lastEventId: stream.lastEventId ?? '' });
  await resumed.first(1);
  expect(logged(resumed)).toEqual(['two']);

  const call = await startTool(client, b, 'elicit', { message: 'name?' });
  const { message } = await call.stream.next();
  const answer = { action: 'accept', content: { name: 'Ada' } };
  await client.respond(a.url, message?.id ?? '', answer);
  expect(JSON.parse(await call.text())).toEqual(answer);

  (await client.delete(b.url)).expect(200);
  expect(await resumed.untilEnded()).toBe('end');
  for (const { url } of [a, b, c]) {
    (await client.post(url, request(99, 'tools/list'))).expect(404);
  }
}

// mcp-gateway-registry, ContextForge #4557: an id that workers share after a fork puts them all on one channel.
it('every node has an id and a channel of its own, also two in one process', async () => {
  const prefix = uniquePrefix();
  const nodes = [...(await cluster.mount({ prefix })), ...(await cluster.mount({ prefix }))];
  const ids = nodes.map(({ nodeId }) => nodeId);
  expect(new Set(ids).size).toBe(6);
  for (const id of ids) expect(id).toMatch(/^[0-9a-z]{10}$/);
  const channels = (await connectRedis().pubsub('CHANNELS', `${prefix}*`)) as string[];
  expect(channels.sort()).toEqual(ids.map((id) => `${prefix}:inbox:${id}`).sort());
});

// example-remote-server: what a node costs Redis grows with what is open on it.
it('a node has one channel, however many sessions listen on it', async () => {
  const prefix = uniquePrefix();
  const [a, b, c] = await cluster.mount({ prefix });
  const redis = connectRedis();
  await Promise.all(
    Array.from({ length: 50 }, async (_, at) => {
      const client = await clientOf(a);
      await client.listen(at % 2 === 0 ? b.url : c.url);
    }),
  );
  expect(await redis.pubsub('CHANNELS', `${prefix}*`)).toHaveLength(3);
});

// ContextForge: scripts make keys from arguments, without hash tags, so that no Redis Cluster takes them.
it('all keys of a session share one hash tag', async () => {
  const prefix = uniquePrefix();
  const [a, b] = await cluster.mount({ prefix });
  const client = await clientOf(a);
  const { sessionId = '' } = client;
  await client.listen(b.url);
  await callTool(client, b, 'echo', { text: '' });
  await a.call('increment', { sessionId });
  const keys = await connectRedis().keys(`${prefix}*`);
  const own = keys.filter((key) => key.includes(sessionId));
  expect(own.length).toBeGreaterThan(1);
  for (const key of own) expect(key).toMatch(`${prefix}:{${sessionId}}`);
});

it('a session works over a Redis Cluster as over one Redis', async () => {
  const redis = await startRedisCluster({ masters: 3 });
  onTestFinished(() => redis.stop());
  const [url = ''] = redis.urls;
  const nodes = await cluster.mount({ redis: url, redisCluster: true });
  // Their sessions lie on different masters.
  await Promise.all(Array.from({ length: 6 }, () => liveOn(nodes)));
}, 60_000);

// platformatic/mcp: user name, TLS, Sentinel and Cluster settings are lost on the way to the subscriber.
it('the subscriber uses the same credentials as the command connection', async () => {
  const redis = await startRedis();
  onTestFinished(() => redis.stop());
  const admin = connectRedis(redis.url);
  await admin.call('ACL', 'SETUSER', 'app', 'on', '>secret', '~*', '&*', '+@all');
  await admin.call('ACL', 'SETUSER', 'default', 'off');
  const nodes = await cluster.mount({ redis: redis.url.replace('//', '//app:secret@') });
  await liveOn(nodes);
  const list = (await admin.call('CLIENT', 'LIST')) as string;
  const users = Array.from(list.matchAll(/user=(\w+)/g), ([, user]) => user);
  expect(users.filter((user) => user === 'app')).toHaveLength(6);
});

// python-sdk #2455: clients that come no further than `initialize` leave sessions behind for ever.
it('a session whose client never sent `initialized` expires after minutes, not after a day', async () => {
  const prefix = uniquePrefix();
  const [a, b] = await cluster.mount({ prefix });
  const client = newClient();
  await client.initialize(a.url, { initialized: false });
  const redis = connectRedis();
  const timeLeft = async (): Promise<number[]> => {
    const keys = await redis.keys(`${prefix}:{*`);
    return Promise.all(keys.map((key) => redis.pttl(key)));
  };
  const minutes = 60_000;
  for (const left of await timeLeft()) {
    expect(left).toBeGreaterThan(4 * minutes);
    // A session's time begins anew once a second at most, and is as much longer.
    expect(left).toBeLessThanOrEqual(5 * minutes + 1_000);
  }
  await client.notify(b.url, 'notifications/initialized');
  expect(Math.max(...(await timeLeft()))).toBeGreaterThan(23 * 60 * minutes);
});
