/** The command line, as a process of its own, beside nodes that serve sessions over a real Redis. */
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { once } from 'node:events';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import type { AddressInfo } from 'node:net';
import type { Redis } from 'ioredis';
import { setTimeout as after } from 'node:timers/promises';
import { describe, expect, it, onTestFinished } from 'vitest';
import { startRedis } from '../../demo/rig/redis.js';
import type {
  NodeInfo,
  SessionDetails,
  SessionEvent,
  SessionInfo,
  Stats,
} from '../../src/index.js';
import { redisBackplane } from '../../src/index.js';
import { request } from '../support/mcp-http.js';
import { connectRedis, redisUrl, uniquePrefix } from '../support/redis-fixture.js';
import { cli, jsonLines, lines, startCli } from './support/cli.js';
import { newGate } from './support/gate.js';
import { openSession, startNode, startSession } from './support/serve.js';
import { eventually } from './support/signal.js';

const NONE = '00000000-0000-0000-0000-000000000000';

/** Two nodes, a session that the first one has made, and how to ask for them. */
async function start(url = redisUrl()) {
  const prefix = uniquePrefix();
  const backplane = () => redisBackplane({ redis: url, prefix });
  const held = newGate();
  const tools = {
    hold: async () => {
      await held.opened;
      return 'released';
    },
  };
  const a = await startSession({ backplane: backplane(), tools });
  const b = await startNode({ backplane: backplane(), tools });
  const at = ['--redis', url, '--prefix', prefix];
  return {
    ...{ a, b, at, prefix, held, backplane },
    ask: (...args: string[]) => cli([...args, ...at]),
    begin: (...args: string[]) => startCli([...args, ...at]),
  };
}

describe('nodes', () => {
  it('are listed with what they say of themselves, and the lease that is left', async () => {
    const { a, b, ask } = await start();
    const asJson = await ask('nodes', '--json');
    expect(asJson).toMatchObject({ code: 0, stderr: '' });
    const nodes = jsonLines<NodeInfo>(asJson.stdout);
    expect(nodes.map(({ id }) => id)).toEqual([a.mcp.nodeId, b.mcp.nodeId].sort());
    for (const node of nodes) {
      expect(node).toMatchObject({ host: hostname(), pid: process.pid, version: '0.1.0' });
      expect(node.leaseLeftMs).toBeGreaterThan(0);
      expect(node.leaseLeftMs).toBeLessThanOrEqual(10_000);
      expect(Math.abs(Date.now() - (node.startedAt ?? 0))).toBeLessThan(60_000);
    }
    const asText = await ask('nodes');
    const [title, ...rows] = lines(asText.stdout);
    expect(title).toMatch(/^NODE +LEASE +UP +HOST +PID +VERSION$/);
    expect(rows.map((row) => row.split(' ')[0])).toEqual(nodes.map(({ id }) => id));
  });

  it('of a release that says nothing in its lease are listed all the same', async () => {
    const prefix = uniquePrefix();
    const redis = connectRedis();
    await redis.set(`${prefix}:node:old`, '1', 'PX', 60_000);
    // Its prefix is no pattern, and this one is another's.
    await redis.set(`${prefix}x:node:other`, '1', 'PX', 60_000);
    const { stdout } = await cli(['nodes', '--json', '--redis', redisUrl(), '--prefix', prefix]);
    expect(jsonLines(stdout)).toEqual([{ id: 'old', leaseLeftMs: expect.any(Number) as number }]);
    const glob = await cli(['nodes', '--json', '--redis', redisUrl(), '--prefix', `${prefix}*`]);
    expect(glob).toMatchObject({ code: 0, stdout: '' });
  });
});

describe('sessions', () => {
  it('are listed, in text and as JSON Lines', async () => {
    const { a, b, ask } = await start();
    const ids = [a.sessionId];
    for (const at of [a.url, b.url]) ids.push((await openSession(at)).sessionId);
    const asJson = await ask('sessions', '--json');
    const listed = jsonLines<SessionInfo>(asJson.stdout);
    expect(listed.map(({ id }) => id).sort()).toEqual(ids.sort());
    expect(listed[0]).toMatchObject({ clientInfo: { name: 'raw' }, state: 'active' });
    const asText = await ask('sessions');
    expect(lines(asText.stdout)).toHaveLength(4);
    for (const id of ids) expect(asText.stdout).toContain(id);
    const two = await ask('sessions', '--limit', '2', '--json');
    expect(lines(two.stdout)).toHaveLength(2);
  });

  it('none: a heading and nothing else; as JSON nothing', async () => {
    const at = ['--redis', redisUrl(), '--prefix', uniquePrefix()];
    expect(lines((await cli(['sessions', ...at])).stdout)).toHaveLength(1);
    expect(await cli(['sessions', '--json', ...at])).toMatchObject({ code: 0, stdout: '' });
  });

  it('one: its client, open streams with who follows and who runs them, requests, log', async () => {
    const { a, b, held, ask } = await start();
    const { client, sessionId } = a;
    await client.listen(b.url);
    const call = client.post(a.url, request(7, 'tools/call', { name: 'hold', arguments: {} }));
    const details = await eventually(async () => {
      const { stdout } = await ask('session', sessionId, '--json');
      const found = JSON.parse(stdout) as SessionDetails;
      return found.requests.length > 0 && found;
    });
    const standalone = details.streams.find(({ kind }) => kind === 'standalone');
    const running = details.streams.find(({ kind }) => kind === 'request');
    expect(standalone?.holder?.node).toBe(b.mcp.nodeId);
    expect(running).toMatchObject({ executor: a.mcp.nodeId, begun: true });
    expect(running?.holder?.node).toBe(a.mcp.nodeId);
    expect(details.requests).toEqual([
      { id: 7, stream: running?.name, executor: a.mcp.nodeId, begun: true },
    ]);
    expect(details.info).toMatchObject({ id: sessionId, state: 'active' });
    expect(details.replicas).toContain(a.mcp.nodeId);
    expect(details.log.events).toBeGreaterThanOrEqual(4);
    expect(details.log.bytes).toBeGreaterThan(details.log.events * 100);
    expect(details.leftMs).toBeGreaterThan(86_000_000);

    const { stdout } = await ask('session', sessionId);
    expect(stdout).toMatch(new RegExp(`^session +${sessionId}$`, 'm'));
    expect(stdout).toMatch(/^client +raw 1\.0\.0$/m);
    expect(stdout).toMatch(new RegExp(`^g +standalone +\\d+ +${b.mcp.nodeId} +-$`, 'm'));
    expect(stdout).toMatch(new RegExp(`^7 +\\S+ +${a.mcp.nodeId}$`, 'm'));
    held.open();
    await (await call).answer(7);
  });

  it('one that is not there: code 1, whatever is asked of it', async () => {
    const at = ['--redis', redisUrl(), '--prefix', uniquePrefix()];
    for (const command of ['session', 'events', 'kill', 'export']) {
      const ended = await cli([command, NONE, ...at]);
      expect(ended).toMatchObject({
        ...{ code: 1, stdout: '' },
        stderr: `mcp-anynode: there is no session ${NONE}\n`,
      });
    }
  });
});

describe('kill', () => {
  it('ends a session on all nodes, as DELETE does', async () => {
    const { a, b, ask } = await start();
    const stream = await a.client.listen(b.url);
    const other = await openSession(a.url);
    const ended = await ask('kill', a.sessionId, NONE, '--json');
    expect(ended.code).toBe(1);
    expect(jsonLines(ended.stdout)).toEqual([
      { id: a.sessionId, killed: true },
      { id: NONE, killed: false },
    ]);
    expect(await stream.untilEnded()).toBe('end');
    for (const url of [a.url, b.url]) {
      expect((await a.client.post(url, request(1, 'ping'))).status).toBe(404);
      expect((await other.client.post(url, request(1, 'ping'))).status).toBe(200);
    }
    await eventually(() => a.mcp.health().sessions === 1);
    expect(await ask('kill', other.sessionId)).toMatchObject({
      ...{ code: 0, stderr: '' },
      stdout: `ended ${other.sessionId}\n`,
    });
  });
});

describe('events', () => {
  it('one line each, without secrets or anything that moves the cursor', async () => {
    const { a, ask } = await start();
    const args = { text: 'a\u001b[2Jb\u009bc', apiKey: 'sk-123', note: 'Bearer abc.def' };
    await a.client.request(a.url, 'tools/call', { name: 'echo', arguments: args });
    const { stdout, code } = await ask('events', a.sessionId);
    expect(code).toBe(0);
    const printed = lines(stdout);
    const what = printed.map((line) => line.replace(/^[\d:.]+ (\S) \S+ +/, '$1 '));
    expect(what.map((line) => line.split(' ').slice(0, 2).join(' '))).toEqual([
      ...['· session.created', '→ initialize', '← answer'],
      ...['→ notifications/initialized', '· session.initialized'],
      ...['→ tools/call', '← answer'],
    ]);
    expect(printed[5]).toContain(
      'echo {"text":"a\\u001b[2Jb·c","apiKey":"***","note":"Bearer ***"}',
    );
    // eslint-disable-next-line no-control-regex -- none is to be there
    expect(stdout).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/);
    expect(stdout).not.toMatch(/sk-123|abc\.def/);
  });

  it('as JSON Lines, from a place on, so many, and only some', async () => {
    const { a, ask } = await start();
    await a.client.request(a.url, 'tools/call', { name: 'echo', arguments: { n: 1 } });
    const all = jsonLines<SessionEvent>((await ask('events', a.sessionId, '--json')).stdout);
    const some = async (...more: string[]) => {
      const { stdout } = await ask('events', a.sessionId, '--json', ...more);
      return jsonLines<SessionEvent>(stdout).map(({ id }) => id);
    };
    const ids = all.map(({ id }) => id);
    expect(await some('--after', ids[1] ?? '')).toEqual(ids.slice(2));
    expect(await some('--limit', '2')).toEqual(ids.slice(0, 2));
    const calls = all.filter(
      ({ message }) =>
        message !== undefined && 'method' in message && message.method === 'tools/call',
    );
    expect(calls).toHaveLength(1);
    expect(await some('--method', 'tools/call,ping')).toEqual(calls.map(({ id }) => id));
    const fromServer = all.filter(({ direction }) => direction === 'out').map(({ id }) => id);
    expect(await some('--type', 'session.created,session.initialized')).toHaveLength(2);
    expect(await some('--direction', 'out')).toEqual(fromServer);
  });

  it('--follow goes on with what comes, and ends with the session', async () => {
    const { a, b, ask, begin } = await start();
    const following = begin('events', a.sessionId, '--follow', '--json');
    await following.until('"notifications/initialized"');
    await a.client.request(b.url, 'tools/call', { name: 'echo', arguments: { n: 'later' } });
    await following.until('{\\"n\\":\\"later\\"}');
    await ask('kill', a.sessionId);
    const ended = await following.ended;
    expect(ended.code).toBe(0);
    const seen = jsonLines<SessionEvent>(ended.stdout).map(({ id }) => id);
    expect(seen).toEqual([...new Set(seen)].sort());
    expect(ended.stderr).toBe('');
    expect(ended.stdout).toMatch(/"type":"session.closed"[^\n]*\n$/);
  });

  it('--follow ends on SIGINT with 130, on SIGTERM with 143', async () => {
    const { a, begin } = await start();
    for (const [signal, code] of [
      ['SIGINT', 130],
      ['SIGTERM', 143],
    ] as const) {
      const following = begin('events', a.sessionId, '--follow');
      await following.until('notifications/initialized');
      following.kill(signal);
      expect(await following.ended).toMatchObject({ code, signal: null, stderr: '' });
    }
  });

  it('--follow outlives a Redis that is away for a while', async () => {
    const redis = await startRedis({ args: ['--appendonly', 'yes'] });
    onTestFinished(redis.stop);
    const { a, begin } = await start(redis.url);
    const following = begin('events', a.sessionId, '--follow', '--timeout', '500');
    await following.until('notifications/initialized');
    await redis.halt();
    await after(1500); // longer than a command may take
    await redis.start();
    await eventually(() => a.mcp.health().status === 'ready', 15_000);
    await a.client.request(a.url, 'tools/call', { name: 'echo', arguments: { n: 'back' } });
    await following.until('{"n":"back"}');
    expect(following.stderr).toBe('');
  });
});

describe('export', () => {
  it('one session or all of them, with a line that says whose events follow', async () => {
    const { a, b, ask } = await start();
    const other = await openSession(b.url);
    const one = jsonLines<{ session: string; info?: SessionInfo; id?: string }>(
      (await ask('export', a.sessionId)).stdout,
    );
    expect(one[0]).toMatchObject({ v: 1, session: a.sessionId, info: { id: a.sessionId } });
    const events = jsonLines<SessionEvent>((await ask('events', a.sessionId, '--json')).stdout);
    expect(one.slice(1)).toEqual(events.map((event) => ({ v: 1, session: a.sessionId, ...event })));
    const all = jsonLines<{ session: string; info?: SessionInfo }>(
      (await ask('export', '--all')).stdout,
    );
    const heads = all.filter(({ info }) => info !== undefined).map(({ session }) => session);
    expect(heads.sort()).toEqual([a.sessionId, other.sessionId].sort());
    expect(all).toHaveLength(2 * one.length);
  });

  it('into a file that only its owner may read; what was there stays if it fails', async () => {
    const { a, ask } = await start();
    const folder = await mkdtemp(join(tmpdir(), 'anynode-export-'));
    onTestFinished(() => rm(folder, { recursive: true }));
    const file = join(folder, 'session.jsonl');
    await writeFile(file, 'before');
    expect((await ask('export', NONE, '--output', file)).code).toBe(1);
    expect(await readFile(file, 'utf8')).toBe('before');
    const ended = await ask('export', a.sessionId, '--output', file);
    expect(ended).toMatchObject({ code: 0, stdout: '' });
    expect(ended.stderr).toBe(`mcp-anynode: 1 sessions, 5 events in ${file}\n`);
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect(await readFile(file, 'utf8')).toBe((await ask('export', a.sessionId)).stdout);
    expect(await readdir(folder)).toEqual(['session.jsonl']);
    const nowhere = await ask('export', a.sessionId, '--output', join(folder, 'no', 'file'));
    expect(nowhere.code).toBe(4);
    expect(nowhere.stderr).toContain('cannot write');
  });
});

describe('monitor', () => {
  it('--once: nodes, sessions and totals, in text and as one document', async () => {
    const { a, b, held, ask } = await start();
    await a.client.listen(b.url);
    const call = a.client.post(a.url, request(7, 'tools/call', { name: 'hold', arguments: {} }));
    const stats = await eventually(async () => {
      const found = JSON.parse((await ask('monitor', '--once', '--json')).stdout) as Stats;
      return found.totals.requests === 1 && found;
    });
    expect(stats.nodes.map(({ id }) => id)).toEqual([a.mcp.nodeId, b.mcp.nodeId].sort());
    expect(stats).toMatchObject({
      ...{ nodesComplete: true, listed: 1, sampled: false },
      totals: { streams: 2, followed: 2, requests: 1 },
      sessions: [{ info: { id: a.sessionId }, streams: 2, followed: 2, requests: 1 }],
    });
    const { stdout } = await ask('monitor', '--once');
    expect(stdout).toContain('2 nodes  ·  1 sessions  ·  2 streams, 2 followed  ·  1 running');
    expect(stdout).toContain(a.sessionId);
    held.open();
    await (await call).answer(7);
  });

  it('no terminal: goes on, with traffic and rates', async () => {
    const { a, begin } = await start();
    const watching = begin('monitor', '--interval', '0.2');
    await watching.until('1 sessions');
    await a.client.request(a.url, 'tools/call', { name: 'echo', arguments: { n: 'seen' } });
    await watching.until(/TRAFFIC\n.*tools\/call 2 echo \{"n":"seen"\}\n/);
    expect(watching.stdout).toMatch(/[1-9][\d.]* events\/s {2}· {2}[\d.]+ k?B\/s/);
    expect(watching.stdout).not.toContain('\u001b');
    watching.kill('SIGINT');
    expect(await watching.ended).toMatchObject({ code: 130 });
  });
});

describe('as a guest of Redis', () => {
  it('it is no node: nothing is written, subscribed to or leased', async () => {
    const server = await startRedis();
    onTestFinished(server.stop);
    const { a, at } = await start(server.url);
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
    const { a, prefix } = await start(server.url);
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

describe('what can go wrong', () => {
  it('wrong usage is code 2, and says what would be right', async () => {
    for (const [args, said] of [
      [['nodes'], 'which Redis? Give --redis URL, or set REDIS_URL'],
      [['nodes', '--redis', 'localhost:6379'], '--redis has to be a URL'],
      [['nodes', '--redis', 'redis://a,redis://b'], 'several URLs need --cluster or --sentinel'],
      [['nodes', '--redis', redisUrl(), '--prefix', 'a b'], '`prefix` must not'],
      [['nodes', '--bogus'], "unknown option '--bogus'"],
      [['nodes', 'extra'], 'too many arguments'],
      [['session'], "missing required argument 'id'"],
      [['sesions'], 'there is no command sesions'],
      [['sessions', '--limit', '0'], 'It has to be a whole number of at least 1'],
      [
        ['events', 'x', '--after', 'y', '--redis', redisUrl()],
        '`after` has to be the id of an event',
      ],
      [['events', 'x', '--type', 'y', '--redis', redisUrl()], 'no event has the type "y"'],
      [['export'], 'give either the id of a session or --all'],
      [['export', 'x', '--all'], 'give either the id of a session or --all'],
      [[], 'give a command, or --upstream URL'],
    ] as const) {
      const ended = await cli([...args]);
      expect(ended, args.join(' ')).toMatchObject({ code: 2, stdout: '' });
      expect(ended.stderr).toContain(said);
    }
  }, 60_000);

  it('a Redis that cannot be reached is code 3, in bounded time, without the password', async () => {
    // One that takes connections and says nothing, and one that is not there.
    const mute = createServer().listen(0, '127.0.0.1');
    await once(mute, 'listening');
    onTestFinished(() => void mute.close());
    const { port } = mute.address() as AddressInfo;
    for (const place of [`127.0.0.1:${port}`, '127.0.0.1:1']) {
      const ended = await cli([
        'sessions',
        '--redis',
        `redis://user:geheim@${place}`,
        '--timeout',
        '300',
      ]);
      expect(ended).toMatchObject({ code: 3, stdout: '' });
      expect(ended.stderr).toContain(`mcp-anynode: cannot reach redis://${place}: `);
      expect(ended.stderr).not.toContain('geheim');
      expect(ended.ms).toBeLessThan(10_000);
    }
  });

  it('a reader that has seen enough ends it quietly', async () => {
    const { a, begin } = await start();
    const following = begin('events', a.sessionId, '--follow');
    await following.until('notifications/initialized');
    following.closeOutput();
    await a.client.request(a.url, 'ping');
    expect(await following.ended).toMatchObject({ code: 0, signal: null, stderr: '' });
  });

  it('REDIS_URL counts where --redis is not given', async () => {
    const env = { REDIS_URL: redisUrl() };
    const ended = await cli(['sessions', '--json', '--prefix', uniquePrefix()], env);
    expect(ended).toMatchObject({ code: 0, stdout: '', stderr: '' });
  });
});
