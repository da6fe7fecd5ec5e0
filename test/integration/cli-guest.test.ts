/** Which commands the command line sends to Redis. All but `kill` only read. */
import type { Redis } from 'ioredis';
import { describe, expect, it, onTestFinished } from 'vitest';
import { startRedis } from '../rig/redis.js';
import { request } from '../support/mcp-http.js';
import { connectRedis } from '../support/redis-fixture.js';
import { cli } from './support/cli.js';
import { startCliCluster } from './support/cli-cluster.js';

describe('the command line', () => {
  it('writes nothing, subscribes to nothing and takes no lease', async () => {
    const server = await startRedis();
    onTestFinished(server.stop);
    const { a, at } = await startCliCluster(server.url);
    // The first entry after the handshake turns the log into a Redis stream.
    expect((await a.client.post(a.url, request(1, 'ping'))).status).toBe(200);
    const redis = connectRedis(server.url);
    const heard = await redis.monitor();
    const from = new Set<string>();
    const mine = new Set(await addresses(redis));
    heard.on('monitor', (_time: string, [command = '']: string[], address: string) => {
      if (mine.has(address)) return;
      from.add(command.toLowerCase());
    });
    onTestFinished(() => heard.disconnect());
    for (const command of [
      ['nodes'],
      ['sessions'],
      ['session', a.sessionId],
      ['events', a.sessionId],
      ['export', '--all'],
      ['monitor', '--once'],
    ]) {
      expect((await cli([...command, ...at])).code).toBe(0);
    }
    // ioredis opens connections, and how it does so differs between its releases.
    const begins = ['hello', 'client', 'auth', 'select'];
    expect([...from].filter((name) => !begins.includes(name)).sort()).toEqual(READS);
  });

  it('needs a user who may read only, except for `kill`', async () => {
    const server = await startRedis();
    onTestFinished(server.stop);
    const { a, prefix } = await startCliCluster(server.url);
    const redis = connectRedis(server.url);
    const rights = READS.map((name) => `+${name}`);
    await redis.acl('SETUSER', 'viewer', 'on', '>pass word', '~*', ...rights);
    const url = server.url.replace('//', '//viewer:pass%20word@');
    const at = ['--redis', url, '--prefix', prefix];
    for (const command of [
      ['nodes'],
      ['sessions'],
      ['session', a.sessionId],
      ['monitor', '--once'],
    ]) {
      const ended = await cli([...command, ...at]);
      expect(ended).toMatchObject({ code: 0, stderr: '' });
      expect(ended.stdout).not.toContain('pass');
    }
    const refused = await cli(['kill', a.sessionId, ...at]);
    expect(refused.code).toBe(3);
    expect(refused.stderr).not.toContain('pass');
    expect((await a.client.post(a.url, request(1, 'ping'))).status).toBe(200);
  });
});

/** All commands that it sends to Redis. `docs/cli.md` lists them for an ACL. */
const READS = [
  'get',
  'hget',
  'hgetall',
  'info',
  'pttl',
  'scan',
  'time',
  'xlen',
  'xrange',
  'xrevrange',
  'zcard',
  'zrangebylex',
];

async function addresses(redis: Redis): Promise<string[]> {
  const list = String(await redis.client('LIST'));
  return [...list.matchAll(/ addr=(\S+)/g)].map(([, address = '']) => address);
}
