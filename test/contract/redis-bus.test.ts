/**
 * In a Redis Cluster, a wake-up goes from the master of the session to the server where the node is subscribed. It goes
 * over the cluster's own bus, which does not report what it loses.
 */
import { Cluster, Redis } from 'ioredis';
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest';
import { createNode } from '../../src/node.js';
import type { JoinOptions } from '../../src/backplane/backplane.js';
import { STANDALONE } from '../../src/backplane/backplane.js';
import { redisBackplane } from '../../src/backplane/redis/redis-backplane.js';
import { startRedisCluster, type RedisCluster } from '../rig/redis.js';
import { systemClock } from '../../src/protocol/timing/clock.js';
import { scriptedServer } from '../integration/support/scripted-server.js';
import { listen, mounted, openSession } from '../integration/support/serve.js';
import { uniquePrefix } from '../support/redis-fixture.js';
import { startBusProxy, type BusProxy } from './support/bus-proxy.js';
import { eventually, TestNode } from './suite/rig.js';

const proxies: BusProxy[] = [];
let servers: RedisCluster;
let admins: Redis[] = [];
beforeAll(async () => {
  servers = await startRedisCluster({
    ...{ masters: 3, nodeTimeoutMs: 8_000 },
    busPort: async (own) => {
      const proxy = await startBusProxy(own);
      proxies.push(proxy);
      return proxy.port;
    },
  });
  admins = servers.urls.map((url) => new Redis(url));
  for (const admin of admins) admin.on('error', () => undefined); // a test kills one server
});
afterAll(async () => {
  for (const admin of admins) admin.disconnect();
  await servers.stop();
  await Promise.all(proxies.map((proxy) => proxy.stop()));
});

const LEASE_MS = 1_200;

async function join(prefix: string, more: Partial<JoinOptions> = {}): Promise<TestNode> {
  const client = new Cluster(servers.urls, { lazyConnect: true });
  const node = new TestNode(redisBackplane({ redis: client, prefix }), more);
  onTestFinished(() => node.backplane.leave());
  await node.backplane.ready();
  return node;
}

/** Returns the index of the server where the node has subscribed. */
async function subscribedAt(prefix: string, node: { id: string }): Promise<number> {
  const channels = await Promise.all(
    admins.map((admin) => admin.pubsub('CHANNELS', `${prefix}:inbox:${node.id}`)),
  );
  return channels.findIndex((list) => (list as string[]).length === 1);
}

/** Creates a session on another master than that server. */
async function sessionAwayFrom(prefix: string, node: TestNode, server: number) {
  for (;;) {
    const id = await node.create();
    const found = await Promise.all(
      admins.map((admin) => admin.exists(`${prefix}:{${id}}`).catch(() => 0)),
    );
    const at = found.indexOf(1);
    if (at !== server) return { id, at };
  }
}

/** Starts a node that follows a session, and breaks the link over which its wake-ups come. */
async function cutOff(more: Partial<JoinOptions>) {
  const prefix = uniquePrefix();
  const [follower, sender] = [await join(prefix, more), await join(prefix)];
  const here = await subscribedAt(prefix, follower);
  const { id, at } = await sessionAwayFrom(prefix, sender, here);
  await follower.hold(id, STANDALONE);
  await sender.say(id, STANDALONE, 'heard');
  expect((await follower.next('event')).event.message).toBe('heard');
  const proxy = proxies[here];
  proxy?.ignore(String(await admins[at]?.cluster('MYID')));
  onTestFinished(() => proxy?.listen());
  return { follower, sender, id };
}

it('a node notices by a probe through each master that a link of the bus swallows wake-ups', async () => {
  const { follower, sender, id } = await cutOff({ leaseMs: LEASE_MS });
  const { losses } = follower;
  const began = performance.now();
  await sender.say(id, STANDALONE, 'lost');
  // The node is told that it may have missed something, and reads the logs that it follows.
  await eventually(() => {
    expect(follower.losses).toBeGreaterThan(losses);
  });
  expect(performance.now() - began).toBeLessThan(LEASE_MS * 1.5);
  expect(follower.inbox.filter(({ type }) => type === 'event')).toEqual([]);
  expect(follower.warnings).toContainEqual(expect.stringContaining('hears nothing'));
});

it('the twin: without the probe the node does not notice', async () => {
  const { follower, sender, id } = await cutOff({ leaseMs: 600_000 });
  const { losses } = follower;
  await sender.say(id, STANDALONE, 'lost');
  await new Promise((resolve) => setTimeout(resolve, LEASE_MS * 1.5));
  expect(follower.losses).toBe(losses);
  expect(follower.inbox.filter(({ type }) => type === 'event')).toEqual([]);
  expect(follower.backplane.trouble()).toBeUndefined();
});

const hello = { method: 'notifications/message', params: { level: 'info', data: 'hello' } };

/** Starts a whole node. It renews its lease so rarely that no probe notices the loss. */
async function startNode(prefix: string, checkEveryMs?: number) {
  const redis = new Cluster(servers.urls, { lazyConnect: true });
  const id = `n${randomBytes(5).toString('hex')}`;
  const mcp = createNode(
    { server: () => scriptedServer(), redis, prefix, leaseMs: 600_000 },
    { clock: systemClock, nodeId: id, ...(checkEveryMs !== undefined && { checkEveryMs }) },
  );
  onTestFinished(() => mcp.close({ drainMs: 0 }));
  const url = await listen(mounted(mcp));
  await mcp.ready();
  return { id, mcp, url };
}

/** Opens a GET on a node that gets no wake-ups of the session. */
async function listenCutOff(checkEveryMs?: number) {
  const prefix = uniquePrefix();
  const sender = await startNode(prefix);
  const follower = await startNode(prefix, checkEveryMs);
  const here = await subscribedAt(prefix, follower);
  for (;;) {
    const { client, sessionId } = await openSession(sender.url);
    const found = await Promise.all(
      admins.map((admin) => admin.exists(`${prefix}:{${sessionId}}`).catch(() => 0)),
    );
    const at = found.indexOf(1);
    if (at === here) continue;
    const stream = await client.listen(follower.url);
    // The stream has shown nothing before. A new position would be reported a second later, and that report would find
    // the loss.
    await stream.comment();
    const proxy = proxies[here];
    proxy?.ignore(String(await admins[at]?.cluster('MYID')));
    onTestFinished(() => proxy?.listen());
    return { mcp: sender.mcp, sessionId, stream };
  }
}

// Before, only the refresh of the session found the loss, up to ten hours later.
it('the next position check shows a message whose wake-up was lost', async () => {
  const { mcp, sessionId, stream } = await listenCutOff(300);
  const began = performance.now();
  await mcp.session(sessionId).notify(hello);
  await stream.first(1);
  expect(performance.now() - began).toBeLessThan(1_500);
});

it('the next position check ends a stream whose node was not told that the session has ended', async () => {
  const { mcp, sessionId, stream } = await listenCutOff(300);
  await mcp.sessions.delete(sessionId);
  await stream.untilEnded();
});

it('the twin: without a position check the client gets nothing', async () => {
  const { mcp, sessionId, stream } = await listenCutOff();
  await mcp.session(sessionId).notify(hello);
  await new Promise((resolve) => setTimeout(resolve, 1_500));
  expect(stream.messages).toEqual([]);
});

it('a node reads its logs again when a master dies, since the last wake-ups may be lost', async () => {
  const prefix = uniquePrefix();
  const node = await join(prefix, { leaseMs: 600_000 });
  const here = await subscribedAt(prefix, node);
  const other = servers.servers[(here + 1) % 3];
  const { losses } = node;
  await other?.halt('SIGKILL');
  await eventually(() => {
    expect(node.losses).toBeGreaterThan(losses);
  });
  // The node's subscriber is on another master, so it stayed connected.
  expect(await admins[here]?.pubsub('NUMSUB', `${prefix}:inbox:${node.id}`)).toContain(1);
  await other?.start();
});
