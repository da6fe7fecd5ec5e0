/** What the command line asks of Redis, and that it may do no more than look. */
import type { Redis } from 'ioredis';
import { describe, expect, it, onTestFinished } from 'vitest';
import { startRedis } from '../rig/redis.js';
import { request } from '../support/mcp-http.js';
import { connectRedis } from '../support/redis-fixture.js';
import { cli } from './support/cli.js';
import { startCliCluster } from './support/cli-cluster.js';

describe('as a guest of Redis', () => {
  it('it is no node: nothing is written, subscribed to or leased', async () => {
    const server = await startRedis();
    onTestFinished(server.stop);
    const { a, at } = await startCliCluster(server.url);
    // With the first thing after the handshake its log becomes a stream.
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
    // How a connection is begun is ioredis' affair, and differs between its releases.
    const begins = ['hello', 'client', 'auth', 'select'];
    expect([...from].filter((name) => !begins.includes(name)).sort()).toEqual(READS);
  });

  it('a user who may only read does for all but kill', async () => {
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

/** All that it asks of Redis; `docs/cli.md` lists them for an ACL. */
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
