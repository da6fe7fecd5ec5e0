/** What a node does, reports and logs while the server at its `upstream` is away, was replaced, or is no MCP server. */
import type { RequestListener } from 'node:http';
import { describe, expect, it } from 'vitest';
import { freePort } from '../rig/ports.js';
import { request } from '../support/mcp-http.js';
import { fallible } from './support/fallible.js';
import { startIntercepted, WAYS } from './support/intercepted.js';
import { mapEndpoint } from './support/map-endpoint.js';
import { answerJson, puppet, resultOf, type Puppet, type PuppetOptions } from './support/puppet.js';
import { listen, mounted, openSession, rawClient, startNode } from './support/serve.js';

const INITIALIZE = {
  ...{ protocolVersion: '2025-11-25', capabilities: {} },
  clientInfo: { name: 'raw', version: '1' },
};
const CALL = { name: 'echo', arguments: {} };

describe('health() with `upstream`', () => {
  it('reports down while the server does not listen, without sending a request, and ready again later', async () => {
    const server = await fallible(mounted(mapEndpoint().handler));
    const { mcp, logged, informed } = await startNode({
      ...{ server: undefined, upstream: server.url },
    });
    await mcp.ready({ upstream: true });
    expect(mcp.health().status).toBe('ready');
    await server.kill();
    await expect.poll(() => mcp.health().status, { timeout: 10_000 }).toBe('down');
    const { origin } = new URL(server.url);
    expect(mcp.health().reason).toContain(origin);
    expect(mcp.health().reason).toContain('ECONNREFUSED');
    await server.restart(mounted(mapEndpoint().handler));
    await expect.poll(() => mcp.health().status, { timeout: 10_000 }).toBe('ready');
    expect(logged).toEqual([expect.stringContaining(origin)]);
    expect(informed).toEqual([expect.stringContaining(`${origin} is reached again`)]);
  });

  it('reports down from the start until the server listens, and ready() with `upstream` waits for that', async () => {
    const port = await freePort();
    const upstream = `http://127.0.0.1:${port}/mcp`;
    const { mcp } = await startNode({ server: undefined, upstream });
    expect(mcp.health().status).toBe('down');
    let isReady = false;
    const ready = mcp.ready({ upstream: true }).then(() => (isReady = true));
    await expect.poll(() => mcp.health().reason).toContain('ECONNREFUSED');
    expect(isReady).toBe(false);
    const waiting = mcp.ready({ upstream: true });
    const server = await fallible(mounted(mapEndpoint().handler), port);
    await ready;
    await waiting;
    expect(mcp.health().status).toBe('ready');
    await server.kill();
  });

  it('has a ready() that rejects when the node closes', async () => {
    const upstream = `http://127.0.0.1:${await freePort()}/mcp`;
    const { mcp } = await startNode({ server: undefined, upstream });
    const ready = mcp.ready({ upstream: true });
    await Promise.all([mcp.close(), expect(ready).rejects.toMatchObject({ code: 'closed' })]);
    await expect(mcp.ready({ upstream: true })).rejects.toMatchObject({ code: 'closed' });
  });

  it('reports down after a refused request at once, and the node sends no request by itself', async () => {
    const puppets = puppet();
    const server = await fallible(puppets.app);
    const { mcp, url } = await startNode({ server: undefined, upstream: server.url });
    await mcp.ready({ upstream: true });
    expect(puppets.seen).toEqual([]);
    await server.kill();
    const { status } = await rawClient().post(url, request(1, 'initialize', INITIALIZE));
    expect(status).toBe(503);
    expect(mcp.health().status).toBe('down');
  });

  it('reports what the server answers at a path given as `upstreamCheck`', async () => {
    let healthy = false;
    const inner = mounted(mapEndpoint().handler);
    const app: RequestListener = (req, res) => {
      if (req.url === '/health') res.writeHead(healthy ? 204 : 500).end('no');
      else inner(req, res);
    };
    const upstream = await listen(app);
    const { mcp, url } = await startNode({
      ...{ server: undefined, upstream, upstreamCheck: '/health' },
    });
    await expect.poll(() => mcp.health().reason).toContain('GET /health');
    // The node serves all the same. It does not decide where requests go.
    await openSession(url);
    expect(mcp.health().status).toBe('down');
    healthy = true;
    await expect.poll(() => mcp.health().status, { timeout: 10_000 }).toBe('ready');
  });

  it('does not depend on the server with `upstreamCheck: false`', async () => {
    const upstream = `http://127.0.0.1:${await freePort()}/mcp`;
    const node = await startNode({ server: undefined, upstream, upstreamCheck: false });
    await node.mcp.ready({ upstream: true });
    await rawClient().post(node.url, request(1, 'initialize', INITIALIZE));
    expect(node.mcp.health().status).toBe('ready');
  });
});

// Bug: clients took the 404 of a wrong path for a server of HTTP+SSE, and its operator saw an empty answer and no log
// entry.
describe.each(WAYS)('a refused initialize, mounted as %s', (way) => {
  const plain =
    (status: number, body = '', type = 'text/html'): NonNullable<PuppetOptions['onInitialize']> =>
    (res) =>
      void res.writeHead(status, { 'content-type': type }).end(body);

  it.each([
    ['an empty 404', 404, plain(404)],
    ['a page with 404', 404, plain(404, '<h1>Not Found</h1>')],
    ['JSON with 404', 404, plain(404, '{"detail":"Not Found"}', 'application/json')],
    ['405', 405, plain(405)],
    ['406', 406, plain(406, 'no')],
    ['400 that is no JSON-RPC', 400, plain(400, 'Bad Request')],
  ])('with %s gets 502 with the status and a hint, and is logged', async (_, status, refuse) => {
    const node = await behind(way, { onInitialize: refuse });
    for (let count = 0; count < 3; count += 1) {
      const answer = await initialize(node.url);
      expect(answer.status).toBe(502);
      expect(answer.headers['mcp-session-id']).toBeUndefined();
      const { id, error } = JSON.parse(answer.body) as { id: number; error: { message: string } };
      expect(id).toBe(1);
      expect(error).toMatchObject({ code: -32000, data: { reason: 'server_refused', status } });
      expect(error.message).toContain(`status ${status}`);
      expect(error.message).toContain('path');
    }
    expect(node.logged).toHaveLength(1);
    expect(node.logged[0]).toContain(`status ${status}`);
    expect(node.logged[0]).toContain('path');
  });

  it('with a web page and 200 gets 502, and is logged', async () => {
    const node = await behind(way, { onInitialize: plain(200, '<h1>Welcome</h1>') });
    const answer = await initialize(node.url);
    expect(answer.status).toBe(502);
    expect(answer.body).toContain('is it an MCP endpoint');
    expect(node.logged).toEqual([expect.stringContaining('text/html')]);
  });

  it('with a JSON-RPC error keeps its status, text and headers', async () => {
    const error = { code: -32602, message: 'Unsupported protocol version' };
    const refusing = await behind(way, {
      onInitialize: (res, { message }) =>
        answerJson(res, { jsonrpc: '2.0', id: message?.id, error }, 400),
    });
    const own = await initialize(refusing.url);
    expect(own.status).toBe(400);
    expect(JSON.parse(own.body)).toEqual({ jsonrpc: '2.0', id: 1, error });
    const asking = await behind(way, {
      onInitialize: (res) => void res.writeHead(401, { 'www-authenticate': 'Bearer' }).end(),
    });
    const unauthorized = await initialize(asking.url);
    expect(unauthorized.status).toBe(401);
    expect(unauthorized.headers['www-authenticate']).toBe('Bearer');
    expect(JSON.parse(unauthorized.body)).toMatchObject({
      error: { data: { reason: 'server_refused', status: 401 } },
    });
    // Such servers answer every client so at first, so there is nothing to warn of.
    expect(asking.logged).toEqual([]);
    expect(asking.informed.filter((line) => line.includes('status 401'))).toHaveLength(1);
  });
});

it('is logged with the address, without its credentials and query', async () => {
  const upstream = new URL(
    await listen(puppet({ onInitialize: (res) => void res.writeHead(404).end() }).app),
  );
  Object.assign(upstream, { username: 'user', password: 'hunter2', search: '?key=s3cret' });
  const node = await startNode({ server: undefined, upstream });
  const { body } = await initialize(node.url);
  expect(node.logged).toEqual([expect.stringContaining(`${upstream.origin}/mcp `)]);
  expect([...node.logged, ...node.informed, body].join()).not.toMatch(/user|hunter2|s3cret/);
});

// Some servers accept any session id, others answer 400 without naming sessions. Neither is the 404 that reports a lost
// session.
describe('a restarted server that does not report its lost sessions', () => {
  it.each<[string, (initialized: Set<unknown>) => PuppetOptions]>([
    [
      'takes any session id',
      (known) => ({
        onCall: (res, { message, headers }) => {
          const isKnown = known.has(headers['mcp-session-id']);
          answerJson(res, resultOf(message?.id, isKnown ? 'known' : 'unknown'));
        },
      }),
    ],
    [
      'answers 400',
      (known) => ({
        onCall: (res, { message, headers }) => {
          if (!known.has(headers['mcp-session-id'])) res.writeHead(400).end('Bad Request');
          else answerJson(res, resultOf(message?.id, 'known'));
        },
      }),
    ],
  ])('is initialized again after a refused connection: %s', async (_, options) => {
    const make = (name: string): Puppet => {
      const known = new Set<unknown>([name]);
      return puppet({ sessionId: name, ...options(known) });
    };
    const server = await fallible(make('first').app);
    const node = await startNode({ server: undefined, upstream: server.url });
    const { client } = await openSession(node.url);
    await client.request(node.url, 'logging/setLevel', { level: 'error' });
    await server.kill();
    expect((await client.request(node.url, 'tools/call', CALL)).error).toMatchObject({
      data: { reason: 'server_unreachable' },
    });
    const second = make('second');
    await server.restart(second.app);
    const { result } = await client.request(node.url, 'tools/call', CALL);
    expect(result).toMatchObject({ content: [{ text: 'known' }] });
    const methods = second.seen.flatMap(({ message }) => message?.method ?? []);
    expect(methods.filter((method) => method === 'initialize')).toHaveLength(1);
    expect(methods).toContain('logging/setLevel');
  });
});

async function behind(way: (typeof WAYS)[number], options: PuppetOptions) {
  const { app } = puppet(options);
  return startIntercepted(way, (req, res) => app(req, res));
}

function initialize(url: string) {
  return rawClient().post(url, request(1, 'initialize', INITIALIZE));
}
