/** Tests what a node checks about its Redis when it connects. */
import { Cluster, Redis } from 'ioredis';
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import type { JoinOptions } from '../../src/backplane/backplane.js';
import { redisBackplane } from '../../src/backplane/redis/redis-backplane.js';
import { startRedis, startRedisCluster, type RedisServer } from '../rig/redis.js';
import { connectRedis, uniquePrefix } from '../support/redis-fixture.js';
import { startRewritingProxy } from './support/rewriting-proxy.js';
import { eventually, TestNode } from './suite/rig.js';

let server: RedisServer;
let admin: Redis;
beforeEach(async () => {
  server = await startRedis();
  // The server stops after the nodes, because a node that cannot leave waits for Redis for a while.
  onTestFinished(() => server.stop());
  admin = connectRedis(server.url);
});

function start(redis: string | Redis | Cluster, overrides: Partial<JoinOptions> = {}): TestNode {
  const node = new TestNode(redisBackplane({ redis, prefix: uniquePrefix() }), overrides);
  onTestFinished(() => node.backplane.leave());
  return node;
}

const policy = (name: string) => admin.config('SET', 'maxmemory-policy', name);

describe('a Redis that may evict keys', () => {
  it('is used, and reported once by a warning', async () => {
    await policy('allkeys-lru');
    const node = start(server.url);
    await node.backplane.ready();
    expect(node.warnings).toEqual([expect.stringMatching(/allkeys-lru.*noeviction/)]);
    await admin.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
    await eventually(() => node.create());
    expect(node.warnings).toHaveLength(1);
    expect(node.backplane.trouble()).toBeUndefined();
  });

  it('is reported at the next connection if its settings were changed later', async () => {
    const node = start(server.url);
    await node.backplane.ready();
    expect(node.warnings).toEqual([]);
    await policy('volatile-ttl');
    await admin.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
    await eventually(() => {
      expect(node.warnings).toEqual([expect.stringContaining('volatile-ttl')]);
    });
  });

  it('is reported if it is one of the masters of a cluster', async () => {
    const cluster = await startRedisCluster({ masters: 3 });
    onTestFinished(() => cluster.stop());
    const last = connectRedis(cluster.urls[2]);
    await last.config('SET', 'maxmemory-policy', 'volatile-lru');
    const client = new Cluster(cluster.urls.slice(0, 1), { lazyConnect: true });
    const node = start(client);
    await node.backplane.ready();
    expect(node.warnings).toEqual([expect.stringContaining('volatile-lru')]);
  });
});

describe('a Redis that is too old', () => {
  it('is refused and reported once, and the node goes on when another Redis has replaced it', async () => {
    const [about = ''] = /redis_version:\S+/.exec(await admin.info('server')) ?? [];
    const old = about.replace(/:\d/, ':5');
    const proxy = await startRewritingProxy(server.port, about, old);
    onTestFinished(() => proxy.stop());
    const node = start(`redis://127.0.0.1:${proxy.port}`, { commandTimeoutMs: 5_000 });
    const refused = /6\.2 or newer/;
    await expect(node.backplane.load('x')).rejects.toThrow(refused);
    await expect(node.create()).rejects.toThrow(refused);
    expect(node.backplane.trouble()).toMatch(/Redis 6\.2 or newer is needed, this one is 5/);
    proxy.cut();
    await expect(node.backplane.alive(['x'])).rejects.toThrow(refused);
    expect(node.warnings).toEqual([expect.stringContaining('6.2')]);
    // Nothing was written to it.
    expect(await admin.dbsize()).toBe(0);

    proxy.stopRewriting();
    proxy.cut();
    await node.backplane.ready();
    await eventually(() => node.create());
    expect(node.backplane.trouble()).toBeUndefined();
  });
});

// Managed services forbid INFO to some users.
it('a Redis that does not tell its version or settings is used', async () => {
  await policy('allkeys-lru');
  await admin.acl('SETUSER', 'shy', 'on', '>secret', '~*', '&*', '+@all', '-info');
  const shy = new Redis({
    ...{ port: server.port, username: 'shy', password: 'secret' },
    ...{ lazyConnect: true, enableReadyCheck: false },
  });
  const node = start(shy);
  await node.backplane.ready();
  await node.create();
  expect(node.warnings).toEqual([expect.stringMatching(/run_id.*may still take effect/)]);
});
