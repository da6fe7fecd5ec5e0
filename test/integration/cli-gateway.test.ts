/** The command line over a Redis Cluster, and the gateway. */
import { randomUUID } from 'node:crypto';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import express from 'express';
import { Cluster } from 'ioredis';
import { describe, expect, it, onTestFinished } from 'vitest';
import { startRedisCluster } from '../rig/redis.js';
import type { SessionInfo } from '../../src/index.js';
import type { NodeInfo, Stats } from '../../src/operator/index.js';
import { redisBackplane } from '../../src/index.js';
import { request } from '../support/mcp-http.js';
import { redisUrl, uniquePrefix } from '../support/redis-fixture.js';
import { cli, jsonLines, startCli } from './support/cli.js';
import { fallible } from './support/fallible.js';
import { mapEndpoint } from './support/map-endpoint.js';
import { scriptedServer } from './support/scripted-server.js';
import { listen, mounted, openSession, rawClient, startNode } from './support/serve.js';
import { eventually } from './support/signal.js';

const INFO = { name: 'raw', version: '1' };

describe('the command line over a Redis Cluster', () => {
  it('finds nodes on all masters, and shows and ends their sessions', async () => {
    const cluster = await startRedisCluster({ masters: 3 });
    onTestFinished(() => cluster.stop());
    const prefix = uniquePrefix();
    const [url = ''] = cluster.urls;
    const source = new Cluster([url], { lazyConnect: true });
    const backplane = () => redisBackplane({ redis: source, prefix });
    const nodes = await Promise.all(
      Array.from({ length: 4 }, () => startNode({ backplane: backplane() })),
    );
    const { sessionId } = await openSession(nodes[0]?.url ?? '');
    const ask = (...args: string[]) =>
      cli([...args, '--cluster', '--redis', url, '--prefix', prefix]);
    const found = jsonLines<NodeInfo>((await ask('nodes', '--json')).stdout);
    expect(found.map(({ id }) => id)).toEqual(nodes.map(({ mcp }) => mcp.nodeId).sort());
    const stats = JSON.parse((await ask('monitor', '--once', '--json')).stdout) as Stats;
    expect(stats.nodes).toHaveLength(4);
    expect(stats.sessions.map(({ info }) => info.id)).toEqual([sessionId]);
    expect((await ask('kill', sessionId)).code).toBe(0);
    expect((await ask('session', sessionId)).code).toBe(1);
  });
});

describe('the gateway', () => {
  it('serves a session of its server together with another gateway', async () => {
    const upstream = await plainServer();
    const prefix = uniquePrefix();
    const args = ['--upstream', upstream, '--redis', redisUrl(), '--prefix', prefix, '--port', '0'];
    const gateways = [startCli([...args, '--json']), startCli(['serve', ...args, '--json'])];
    const urls: string[] = [];
    for (const gateway of gateways) {
      await gateway.until('\n');
      urls.push((JSON.parse(gateway.stdout) as { listening: string }).listening);
    }
    const [a = '', b = ''] = urls;
    const { client, sessionId } = await openSession(a);
    const answer = await client.request(b, 'tools/call', { name: 'echo', arguments: { n: 1 } });
    expect(JSON.stringify(answer)).toContain('{\\"n\\":1}');
    for (const url of urls) {
      await eventually(async () => (await fetch(new URL('/ready', url))).ok);
      expect((await fetch(new URL('/live', url))).status).toBe(200);
      expect((await fetch(new URL('/other', url))).status).toBe(404);
    }
    const at = ['--redis', redisUrl(), '--prefix', prefix];
    const listed = await cli(['sessions', '--json', ...at]);
    expect(jsonLines<SessionInfo>(listed.stdout).map(({ id }) => id)).toEqual([sessionId]);
    gateways[0]?.kill('SIGTERM');
    gateways[1]?.kill('SIGINT');
    const ended = await Promise.all(gateways.map((gateway) => gateway.ended));
    expect(ended.map(({ code }) => code)).toEqual([0, 130]);
    expect((await cli(['nodes', ...at])).stderr).toContain('no nodes under prefix');
  });

  it('with --affinity owner sends all calls of a session to one server, for servers that count in memory', async () => {
    const args = ['--redis', redisUrl(), '--prefix', uniquePrefix(), '--port', '0', '--json'];
    const urls: string[] = [];
    for (let nodes = 0; nodes < 2; nodes += 1) {
      const upstream = await plainServer();
      const gateway = startCli(['--upstream', upstream, '--affinity', 'owner', ...args]);
      onTestFinished(() => gateway.kill('SIGKILL'));
      await gateway.until('\n');
      urls.push((JSON.parse(gateway.stdout) as { listening: string }).listening);
    }
    const { client } = await openSession(urls[0] ?? '');
    for (let count = 1; count <= 6; count += 1) {
      const call = { name: 'count', arguments: {} };
      const { result } = await client.request(urls[count % 2] ?? '', 'tools/call', call);
      expect(result).toMatchObject({ content: [{ text: String(count) }] });
    }
  });

  it('answers /ready by the state of the server behind, and names a wrong path in the answer and the log', async () => {
    const server = await fallible(mounted(mapEndpoint().handler));
    const upstream = server.url.replace('/mcp', '/wrong?key=s3cret');
    const gateway = startCli(['--upstream', upstream, '--port', '0', '--json']);
    onTestFinished(() => gateway.kill('SIGKILL'));
    await gateway.until('\n');
    const { listening: url } = JSON.parse(gateway.stdout) as { listening: string };
    const ready = () => fetch(new URL('/ready', url));
    await eventually(async () => (await ready()).ok);
    const params = { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: INFO };
    const answer = await rawClient().post(url, request(1, 'initialize', params));
    expect(answer.status).toBe(502);
    expect(answer.body).toContain('status 404');
    await eventually(() => gateway.stderr.includes('status 404'));
    expect(gateway.stderr).toContain(`${new URL(upstream).origin}/wrong `);
    expect(gateway.stderr).not.toContain('s3cret');
    await server.kill();
    const down = await eventually(async () => {
      const response = await ready();
      return response.status === 503 && response;
    });
    expect(await down.text()).toContain('ECONNREFUSED');
    expect((await fetch(new URL('/live', url))).status).toBe(200);
    // The log goes to stderr only.
    expect(gateway.stdout.trim().split('\n')).toHaveLength(1);
  });

  it('with --principal-header keeps a session for the caller that the proxy names', async () => {
    const gateway = startCli([
      ...['--upstream', await plainServer(), '--port', '0', '--json'],
      ...['--principal-header', 'X-User'],
    ]);
    onTestFinished(() => gateway.kill('SIGKILL'));
    await gateway.until('\n');
    const { listening: url } = JSON.parse(gateway.stdout) as { listening: string };
    const { sessionId } = await openSession(url, { headers: { 'x-user': 'ann' } });
    for (const [headers, status] of [
      [{ 'x-user': 'ann' }, 200],
      [{ 'x-user': 'bob' }, 404],
      [{}, 404],
    ] as const) {
      const client = rawClient({ headers });
      client.sessionId = sessionId;
      expect((await client.post(url, request(1, 'ping'))).status).toBe(status);
    }
  });

  it('refuses other hosts on a loopback address, unless --trust-proxy says that a proxy checks them', async () => {
    const upstream = await plainServer();
    const statuses: number[] = [];
    for (const more of [[], ['--trust-proxy']]) {
      const gateway = startCli(['--upstream', upstream, '--port', '0', '--json', ...more]);
      onTestFinished(() => gateway.kill('SIGKILL'));
      await gateway.until('\n');
      const { listening: url } = JSON.parse(gateway.stdout) as { listening: string };
      const params = { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: INFO };
      const client = rawClient({ headers: { host: 'mcp.example.com' } });
      statuses.push((await client.post(url, request(1, 'initialize', params))).status);
    }
    expect(statuses).toEqual([403, 200]);
  });

  it.each([
    ['--affinity', 'somewhere'],
    ['--upstream-timeout', '0'],
    ['--principal-header', 'a b'],
    // The value would be stored in Redis, with the token in it.
    ['--principal-header', 'Authorization'],
    ['--principal-header', 'cookie'],
  ])('ends with code 2 for %s %s', async (...args) => {
    const ended = await cli(['--upstream', 'http://127.0.0.1:9/mcp', '--port', '0', ...args]);
    expect(ended).toMatchObject({ code: 2, stdout: '' });
    expect(ended.stderr).toContain(args[0]);
  });

  it('ends with code 4 for a port in use, and with code 2 for a wrong URL', async () => {
    const upstream = await plainServer();
    const { port } = new URL(upstream);
    const taken = await cli(['--upstream', upstream, '--port', port]);
    expect(taken).toMatchObject({ code: 4, stdout: '' });
    expect(taken.stderr).toContain('cannot listen');
    const odd = await cli(['--upstream', 'ftp://somewhere/mcp', '--port', '0']);
    expect(odd).toMatchObject({ code: 2, stdout: '' });
    expect(odd.stderr).toContain('--upstream has to be a URL');
  });
});

/** Starts a plain server of the SDK that keeps its sessions in memory. */
async function plainServer(): Promise<string> {
  const transports = new Map<string, StreamableHTTPServerTransport>();
  const app = express();
  app.use(express.json());
  app.all('/mcp', async (req, res) => {
    let transport = transports.get(String(req.headers['mcp-session-id']));
    if (transport === undefined) {
      const made = new StreamableHTTPServerTransport({
        sessionIdGenerator: () => randomUUID(),
        onsessioninitialized: (id) => void transports.set(id, made),
      });
      let count = 0;
      await scriptedServer({ count: () => String((count += 1)) }).connect(made);
      transport = made;
    }
    await transport.handleRequest(req, res, req.body);
  });
  return listen(app);
}
