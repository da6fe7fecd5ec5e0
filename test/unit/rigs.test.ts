import { once } from 'node:events';
import { Cluster, Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { startRedis, startRedisCluster, type RedisCluster } from '../rig/redis.js';
import { commandCounts, commandsBetween } from '../support/commandstats.js';
import { connectRedis, redisUrl, uniquePrefix } from '../support/redis-fixture.js';
import { startLateProxy } from '../support/late-proxy.js';
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.js';

describe('startRedis', () => {
  it('serves on its port again, and is empty, after a restart', async () => {
    const server = await startRedis();
    onTestFinished(server.stop);
    const { pid } = server;
    const client = connectRedis(server.url);
    await client.set('key', 'value');
    await server.restart();
    expect(await client.get('key')).toBeNull();
    expect(server.pid).not.toBe(pid);
  });

  it('shows the log of a Redis that does not start', async () => {
    await expect(startRedis({ args: ['--no-such-option', '1'] })).rejects.toThrow(
      /FATAL CONFIG FILE ERROR/,
    );
  });

  it('does not use another Redis that listens on the port', async () => {
    const port = Number(new URL(redisUrl()).port);
    await expect(startRedis({ port })).rejects.toThrow(/already in use/);
  });
});

describe('startRedisCluster', () => {
  let cluster: RedisCluster;
  beforeAll(async () => {
    cluster = await startRedisCluster({ masters: 3 });
  });
  afterAll(() => cluster.stop());

  it('serves keys of every master, whichever node the client starts with', async () => {
    for (const port of cluster.ports) {
      const client = new Cluster([{ host: '127.0.0.1', port }]);
      onTestFinished(() => client.disconnect());
      const keys = Array.from({ length: 50 }, (_, i) => `key-${i}`);
      await Promise.all(keys.map((key) => client.set(key, port)));
      expect(client.nodes('master')).toHaveLength(3);
    }
    for (const url of cluster.urls) {
      expect(await connectRedis(url).dbsize()).toBeGreaterThan(0);
    }
  });
});

describe('startTcpProxy', () => {
  let proxy: TcpProxy;
  let prefix: string;
  beforeEach(async () => {
    prefix = uniquePrefix();
    proxy = await startTcpProxy({ target: { port: Number(new URL(redisUrl()).port) } });
    return proxy.stop;
  });

  /** A client behind the proxy that never repeats a command. */
  async function connectOnce(): Promise<Redis> {
    const client = new Redis(proxy.port, '127.0.0.1', {
      lazyConnect: true,
      retryStrategy: () => null,
    });
    client.on('error', () => undefined);
    onTestFinished(() => client.disconnect());
    await client.connect();
    await client.ping();
    return client;
  }

  it('cuts before the reply, so that the command is carried out and the client does not know', async () => {
    const client = await connectOnce();
    const cut = proxy.cutBeforeReply((data) => data.includes(prefix));
    await client.ping();
    await expect(client.rpush(prefix, 'entry')).rejects.toThrow();
    await cut;
    expect(await connectRedis().lrange(prefix, 0, -1)).toEqual(['entry']);
    expect(proxy.connections).toBe(0);
  });

  it('cuts at the nth chunk, with all of a pipeline carried out', async () => {
    const client = await connectOnce();
    const cut = proxy.cutBeforeReply(2);
    await client.ping();
    const commands = Array.from({ length: 100 }, (_, i) => client.rpush(prefix, i));
    const results = await Promise.allSettled(commands);
    await cut;
    expect(results.filter(({ status }) => status === 'fulfilled')).toEqual([]);
    expect(await connectRedis().llen(prefix)).toBe(100);
  });

  // By default, ioredis sends such a command again. So appends have to be idempotent.
  it('makes ioredis carry a command out twice', async () => {
    const client = new Redis(proxy.port, '127.0.0.1');
    onTestFinished(() => client.disconnect());
    await client.ping();
    const cut = proxy.cutBeforeReply((data) => data.includes(prefix));
    expect(await client.rpush(prefix, 'entry')).toBe(2);
    await cut;
  });

  it('delivers everything that it stalled', async () => {
    const client = await connectOnce();
    proxy.stall();
    const pushed = client.rpush(prefix, 'entry');
    const direct = connectRedis();
    for (let i = 0; i < 10; i++) expect(await direct.exists(prefix)).toBe(0);
    proxy.resume();
    expect(await pushed).toBe(1);
  });

  it('delays in both directions', async () => {
    const client = await connectOnce();
    proxy.delay(40);
    const began = performance.now();
    await client.ping();
    expect(performance.now() - began).toBeGreaterThanOrEqual(80);
  });

  it('drops replies but not commands, and keeps the connection open', async () => {
    const client = await connectOnce();
    proxy.mute();
    const pushed = client.rpush(prefix, 'entry');
    const lost = expect(pushed).rejects.toThrow();
    await expect.poll(() => connectRedis().llen(prefix)).toBe(1);
    expect(proxy.connections).toBe(1);
    proxy.cut();
    await lost;
  });

  it('drops commands when the other direction is muted', async () => {
    const client = await connectOnce();
    proxy.mute('client→server');
    const seen = new Promise<void>((resolve) => {
      void proxy.cutBeforeReply((data) => {
        if (data.includes(prefix)) resolve();
        return false;
      });
    });
    const pushed = client.rpush(prefix, 'entry');
    await seen;
    proxy.unmute();
    // Redis never got the command, so the client assigns the next reply to it.
    void client.ping().catch(() => undefined);
    expect(await pushed).toBe('PONG');
    expect(await connectRedis().exists(prefix)).toBe(0);
  });

  it('refuses new connections and keeps open ones', async () => {
    const client = await connectOnce();
    proxy.refuse();
    await expect(connectOnce()).rejects.toThrow();
    expect(await client.ping()).toBe('PONG');
    proxy.accept();
    expect(await (await connectOnce()).ping()).toBe('PONG');
  });
});

it('commandstats returns which commands were called between two readings', async () => {
  const server = await startRedis();
  onTestFinished(server.stop);
  const client = connectRedis(server.url);
  const before = await commandCounts(client);
  await client.eval(`return redis.call('incr', KEYS[1])`, 1, 'n');
  await client.publish('channel', 'message');
  await client.publish('channel', 'message');
  const after = await commandCounts(client);
  expect(commandsBetween(before, after)).toEqual({ eval: 1, incr: 1, publish: 2 });
});

describe('startLateProxy', () => {
  it('delivers what it holds once, although two callers ask for it', async () => {
    const server = await startRedis();
    onTestFinished(server.stop);
    const proxy = await startLateProxy(Number(new URL(server.url).port));
    onTestFinished(() => {
      proxy.stop();
    });
    const client = new Redis(proxy.port, '127.0.0.1', { retryStrategy: null });
    client.on('error', () => undefined);
    await client.ping();
    proxy.drop();
    void client.incr('counter').catch(() => undefined);
    client.disconnect();
    await once(client, 'end'); // the proxy has read everything before it closes
    await Promise.all([proxy.arrive(), proxy.arrive()]);
    const direct = connectRedis(server.url);
    expect(await direct.get('counter')).toBe('1');
  });
});
