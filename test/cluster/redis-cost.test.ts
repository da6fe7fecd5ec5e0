import { setTimeout as pause } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startRedis } from '../../demo/rig/redis.js';
import type { RedisServer } from '../../demo/rig/redis.js';
import type { CommandCounts } from '../support/commandstats.js';
import { commandCounts, commandsBetween } from '../support/commandstats.js';
import { RawClient } from '../support/mcp-http.js';
import type { MeasuredCluster } from './measured/cluster.js';
import { startCluster } from './measured/cluster.js';

const CALLS = 100;

/** A server of its own: what others do would be counted. */
let server: RedisServer;
let redis: Redis;
let cluster: MeasuredCluster | undefined;
let clients: RawClient[] = [];

beforeEach(async () => {
  server = await startRedis();
  redis = new Redis(server.url);
});

afterEach(async () => {
  for (const client of clients) client.close();
  clients = [];
  await cluster?.stop();
  redis.disconnect();
  await server.stop();
});

function newClient(): RawClient {
  const client = new RawClient();
  clients.push(client);
  return client;
}

async function spent(work: () => Promise<unknown>): Promise<CommandCounts> {
  const before = await commandCounts(redis);
  await work();
  return commandsBetween(before, await commandCounts(redis));
}

async function call(client: RawClient, url: string, times: number): Promise<void> {
  for (let at = 0; at < times; at += 1) {
    await client.request(url, 'tools/call', { name: 'echo', arguments: { text: `${at}` } });
  }
}

/** Lease renewals go on meanwhile: two commands a node, three times per lease. With this lease, next to none. */
const LONG_LEASE = { leaseMs: 600_000 };

describe('a plain call on a warm session', () => {
  it('costs two scripts and no wake-up', async () => {
    cluster = await startCluster(server.url, 3, LONG_LEASE);
    const url = cluster.nodes[0]?.url ?? '';
    const client = newClient();
    await client.initialize(url);
    await call(client, url, 1);
    const commands = await spent(() => call(client, url, CALLS));
    expect(commands.evalsha).toBe(2 * CALLS);
    expect(commands.publish ?? 0).toBe(0);
  });

  it('costs the same with a GET stream on another node', async () => {
    cluster = await startCluster(server.url, 3, LONG_LEASE);
    const [near, far] = cluster.nodes;
    const client = newClient();
    await client.initialize(near?.url ?? '');
    await client.listen(far?.url ?? '');
    await call(client, near?.url ?? '', 1);
    const commands = await spent(() => call(client, near?.url ?? '', CALLS));
    expect(commands.evalsha).toBe(2 * CALLS);
    expect(commands.publish ?? 0).toBe(0);
  });
});

describe('time that passes', () => {
  it('costs nothing for sessions that nobody uses', async () => {
    cluster = await startCluster(server.url, 3, { leaseMs: 900, sessionTtlMs: 6000 });
    const urls = cluster.nodes.map(({ url }) => url);
    for (let at = 0; at < 60; at += 1) await newClient().initialize(urls[at % 3] ?? '');
    await pause(1500); // past what the last requests still cause
    const commands = await spent(() => pause(3000));
    // Leases: three nodes, each at most four renewals per second of this lease, two commands each.
    const { set = 0, publish = 0, ...others } = commands;
    expect(set).toBeLessThanOrEqual(3 * 3 * 4);
    expect(publish).toBeLessThanOrEqual(set + 3);
    expect(others).toEqual({});
  });

  it('costs one refresh per open stream in each third of its lifetime', async () => {
    const sessionTtlMs = 6000;
    cluster = await startCluster(server.url, 3, { ...LONG_LEASE, sessionTtlMs });
    const urls = cluster.nodes.map(({ url }) => url);
    const streams = 12;
    for (let at = 0; at < streams; at += 1) {
      const client = newClient();
      await client.initialize(urls[at % 3] ?? '');
      await client.listen(urls[(at + 1) % 3] ?? '');
    }
    await pause(500);
    const commands = await spent(() => pause(2 * sessionTtlMs));
    expect(commands.evalsha).toBeLessThanOrEqual(streams * 6);
    // And they live: a session that is only listened to does not expire.
    const [first] = clients;
    expect(
      (await first?.post(urls[2] ?? '', { jsonrpc: '2.0', id: 99, method: 'ping' }))?.status,
    ).toBe(200);
  });
});
