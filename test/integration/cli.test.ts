/** The command line as a process of its own, beside nodes that serve sessions over a real Redis. */
import { createServer, type AddressInfo } from 'node:net';
import { once } from 'node:events';
import { hostname } from 'node:os';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { SessionInfo } from '../../src/index.js';
import type { NodeInfo, SessionDetails } from '../../src/operator/index.js';
import { request } from '../support/mcp-http.js';
import { connectRedis, redisUrl, uniquePrefix } from '../support/redis-fixture.js';
import { cli, jsonLines, lines } from './support/cli.js';
import { NONE, startCliCluster } from './support/cli-cluster.js';
import { openSession, rawClient } from './support/serve.js';
import { eventually } from './support/signal.js';

describe('the command `nodes`', () => {
  it('lists nodes with their counts and the time left of their leases', async () => {
    const { a, b, ask } = await startCliCluster();
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

  it('lists nodes of a release whose leases say nothing else', async () => {
    const prefix = uniquePrefix();
    const redis = connectRedis();
    await redis.set(`${prefix}:node:old`, '1', 'PX', 60_000);
    // The prefix is no pattern, and this node has another prefix.
    await redis.set(`${prefix}x:node:other`, '1', 'PX', 60_000);
    const { stdout } = await cli(['nodes', '--json', '--redis', redisUrl(), '--prefix', prefix]);
    expect(jsonLines(stdout)).toEqual([{ id: 'old', leaseLeftMs: expect.any(Number) as number }]);
    const glob = await cli(['nodes', '--json', '--redis', redisUrl(), '--prefix', `${prefix}*`]);
    expect(glob).toMatchObject({
      ...{ code: 1, stdout: '' },
      stderr: `mcp-anynode: no nodes under prefix ${prefix}*\n`,
    });
  });
});

describe('the commands `sessions` and `session`', () => {
  it('list sessions as text and as JSON Lines', async () => {
    const { a, b, ask } = await startCliCluster();
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

  it('print a heading only for no sessions, and nothing with --json', async () => {
    const { a, ask } = await startCliCluster();
    await a.mcp.sessions.delete(a.sessionId);
    const asText = await ask('sessions');
    expect(lines(asText.stdout)).toHaveLength(1);
    expect(asText.stderr).toBe('mcp-anynode: there is no session\n');
    expect(await ask('sessions', '--json')).toMatchObject({ code: 0, stdout: '' });
  });

  // Each command printed an empty list under a wrong prefix, or served an empty page, as if all were well.
  it.each(['nodes', 'sessions', `session ${NONE}`, 'monitor --web --port 0'])(
    'end with code 1 under a wrong prefix, and say so: %s',
    async (command) => {
      const prefix = uniquePrefix();
      const at = ['--redis', redisUrl(), '--prefix', prefix];
      expect(await cli([...command.split(' '), ...at])).toMatchObject({
        ...{ code: 1, stdout: '' },
        stderr: `mcp-anynode: no nodes under prefix ${prefix}\n`,
      });
    },
  );

  it('select sessions by client, principal, node, errors and idle time, and sort them', async () => {
    const { b, ask } = await startCliCluster();
    const other = rawClient();
    await other.initialize(b.url, { clientInfo: { name: 'Other', version: '2' } });
    const { sessionId = '' } = other;
    await other.request(b.url, 'tools/call', { name: 'missing', arguments: {} });
    const ids = async (...options: string[]) => {
      const { stdout } = await ask('sessions', '--json', ...options);
      return jsonLines<SessionInfo>(stdout).map(({ id }) => id);
    };
    const all = ['--client', 'other', '--principal', 'anonymous', '--node', b.mcp.nodeId];
    expect(await ids(...all, '--errors', '--protocol', '2025')).toEqual([sessionId]);
    const idle = await ask('sessions', '--idle', '1h', '--json');
    expect(idle).toMatchObject({ stdout: '', stderr: 'mcp-anynode: none of 2 sessions matches\n' });
    const { stdout, stderr } = await ask('sessions', '--sort', 'client', '--reverse');
    expect(lines(stdout)[0]).toMatch(/^SESSION +CLIENT +PRINCIPAL .* RUNNING +ERRORS +OWNER$/);
    expect(lines(stdout)[2]).toMatch(new RegExp(`^${sessionId} +Other 2 +- .* 0 +1 +-$`));
    expect(stderr).toBe('');
  });

  it('take the beginning of an id, and list the ids that begin with it if there are several', async () => {
    const { a, ask, prefix } = await startCliCluster();
    const { sessionId } = a;
    const short = sessionId.slice(0, 8);
    const { stdout } = await ask('session', short, '--json');
    expect(JSON.parse(stdout)).toMatchObject({ info: { id: sessionId } });
    const redis = connectRedis();
    const twin = `${short}-twin`;
    await redis.copy(`${prefix}:{${sessionId}}`, `${prefix}:{${twin}}`);
    // An id whose session has expired does not count.
    await redis.zadd(`${prefix}:sessions`, 0, twin, 0, `${short}-gone`);
    const killed = await ask('kill', short);
    expect(killed).toMatchObject({ code: 1, stdout: '' });
    expect(killed.stderr).toBe(
      `mcp-anynode: several sessions begin with ${short}:\n  ${sessionId}\n  ${twin}\n`,
    );
    // A text of fewer than four characters is no beginning of an id. Nor is an empty one, of a variable that is not set.
    const few = await ask('kill', '', sessionId.slice(0, 3));
    expect(few).toMatchObject({ code: 1, stdout: '' });
    expect(await a.mcp.sessions.get(sessionId)).toBeDefined();
    await redis.del(`${prefix}:{${twin}}`);
    expect((await ask('kill', short)).stdout).toBe(`ended ${sessionId}\n`);
  });

  it('show one session: its client, open streams with holder and executor, requests, log', async () => {
    const { a, b, held, ask } = await startCliCluster();
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
    expect(details.requests).toMatchObject([
      {
        ...{ id: 7, stream: running?.name, executor: a.mcp.nodeId, begun: true },
        ...{ method: 'tools/call', name: 'hold', receivedBy: a.mcp.nodeId },
        sinceTime: new Date(details.requests[0]?.since ?? NaN).toISOString(),
      },
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
    expect(stdout).toMatch(/^principal +anonymous$/m);
    const call7 = `^7 +tools/call +hold +[\\d.]+s +${a.mcp.nodeId} +${running?.name}$`;
    expect(stdout).toMatch(new RegExp(call7, 'm'));
    held.open();
    await (await call).answer(7);
  });

  it('end with code 1 for a session that does not exist, as other commands do', async () => {
    const { ask } = await startCliCluster();
    for (const command of ['session', 'events', 'kill', 'export']) {
      const ended = await ask(command, NONE);
      expect(ended).toMatchObject({
        ...{ code: 1, stdout: '' },
        stderr: `mcp-anynode: there is no session ${NONE}\n`,
      });
    }
  });
});

describe('the command `kill`', () => {
  it('ends a session on all nodes, as DELETE does', async () => {
    const { a, b, ask } = await startCliCluster();
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

describe('the command line', () => {
  it('ends with code 2 on wrong usage, and says what is right', async () => {
    // The other mistakes are in test/unit/cli-usage.test.ts.
    for (const [args, said] of [
      [['nodes', '--bogus'], "unknown option '--bogus'"],
      [[], 'the option --upstream is missing: give --upstream URL'],
    ] as const) {
      const ended = await cli([...args]);
      expect(ended, args.join(' ')).toMatchObject({ code: 2, stdout: '' });
      expect(ended.stderr).toContain(said);
    }
  });

  it('ends with code 3 in bounded time if Redis cannot be reached, and prints no password', async () => {
    // One address accepts connections and never answers, and the other one does not exist.
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

  it('ends quietly if the reader of its output closes', async () => {
    const { a, begin } = await startCliCluster();
    const following = begin('events', a.sessionId, '--follow');
    await following.until('notifications/initialized');
    following.closeOutput();
    await a.client.request(a.url, 'ping');
    expect(await following.ended).toMatchObject({ code: 0, signal: null, stderr: '' });
  });

  it('uses REDIS_URL if --redis is not given', async () => {
    const env = { REDIS_URL: redisUrl() };
    const ended = await cli(['sessions', '--json', '--prefix', uniquePrefix()], env);
    expect(ended).toMatchObject({ code: 1, stdout: '' });
    expect(ended.stderr).toContain('no nodes under prefix');
  });
});
