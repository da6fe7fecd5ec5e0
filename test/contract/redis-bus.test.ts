/**
 * In a cluster a wake-up goes from the session's master to the server where the node is subscribed by way of the
 * cluster's own bus, which says nothing when it loses one.
 */
import { Cluster, Redis } from 'ioredis';
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest';
import { createNode } from '../../src/node.js';
import type { JoinOptions } from '../../src/backplane/backplane.js';
import { STANDALONE } from '../../src/backplane/backplane.js';
import { redisBackplane } from '../../src/backplane/redis/redis-backplane.js';
import { startRedisCluster, type RedisCluster } from '../rig/redis.js';
import { systemClock } from '../../src/protocol/clock.js';
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
  for (const admin of admins) admin.on('error', () => undefined); // one is killed
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
  onTestFinished(() => node.membership.leave());
  await node.membership.ready();
  return node;
}

/** The index of the server where the node has subscribed. */
async function subscribedAt(prefix: string, node: { id: string }): Promise<number> {
  const channels = await Promise.all(
    admins.map((admin) => admin.pubsub('CHANNELS', `${prefix}:inbox:${node.id}`)),
  );
  return channels.findIndex((list) => (list as string[]).length === 1);
}

/** A session whose master is another than that. */
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

/** A node that follows a session, and the link on which its wake-ups come broken. */
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

it('a link of the bus that swallows wake-ups is found by a probe by way of each master', async () => {
  const { follower, sender, id } = await cutOff({ leaseMs: LEASE_MS });
  const { losses } = follower;
  const began = performance.now();
  await sender.say(id, STANDALONE, 'lost');
  // Told that it may have missed something, a node reads the logs of what it follows.
  await eventually(() => {
    expect(follower.losses).toBeGreaterThan(losses);
  });
  expect(performance.now() - began).toBeLessThan(LEASE_MS * 1.5);
  expect(follower.inbox.filter(({ type }) => type === 'event')).toEqual([]);
  expect(follower.warnings).toContainEqual(expect.stringContaining('hears nothing'));
});

it('the twin: without a probe nobody says that it was lost', async () => {
  const { follower, sender, id } = await cutOff({ leaseMs: 600_000 });
  const { losses } = follower;
  await sender.say(id, STANDALONE, 'lost');
  await new Promise((resolve) => setTimeout(resolve, LEASE_MS * 1.5));
  expect(follower.losses).toBe(losses);
  expect(follower.inbox.filter(({ type }) => type === 'event')).toEqual([]);
  expect(follower.membership.trouble()).toBeUndefined();
});

const hello = { method: 'notifications/message', params: { level: 'info', data: 'hello' } };

/** A whole node, which loses wake-ups without a trace: its lease is renewed too seldom for a probe to tell. */
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

/** A client that listens at a node to which the wake-ups of its session do not come. */
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
    // Nothing is shown on it before: the position would be reported a second later, and that report finds what was lost.
    await stream.comment();
    const proxy = proxies[here];
    proxy?.ignore(String(await admins[at]?.cluster('MYID')));
    onTestFinished(() => proxy?.listen());
    return { mcp: sender.mcp, sessionId, stream };
  }
}

// The refresh of the session found it, up to ten hours later.
it('a wake-up that is lost, with nothing after it, is found by the next check of positions', async () => {
  const { mcp, sessionId, stream } = await listenCutOff(300);
  const began = performance.now();
  await mcp.session(sessionId).notify(hello);
  await stream.first(1);
  expect(performance.now() - began).toBeLessThan(1_500);
});

it('a stream whose session has ended, which its node was not told, is ended by the next check', async () => {
  const { mcp, sessionId, stream } = await listenCutOff(300);
  await mcp.sessions.delete(sessionId);
  await stream.untilEnded();
});

it('the twin: without a check in that time the client gets nothing', async () => {
  const { mcp, sessionId, stream } = await listenCutOff();
  await mcp.session(sessionId).notify(hello);
  await new Promise((resolve) => setTimeout(resolve, 1_500));
  expect(stream.messages).toEqual([]);
});

it('a master that dies is a reason to look again: its last wake-ups may not have gone out', async () => {
  const prefix = uniquePrefix();
  const node = await join(prefix, { leaseMs: 600_000 });
  const here = await subscribedAt(prefix, node);
  const other = servers.servers[(here + 1) % 3];
  const { losses } = node;
  await other?.halt('SIGKILL');
  await eventually(() => {
    expect(node.losses).toBeGreaterThan(losses);
  });
  // Its subscriber, on another one, was not touched.
  expect(await admins[here]?.pubsub('NUMSUB', `${prefix}:inbox:${node.id}`)).toContain(1);
  await other?.start();
});
