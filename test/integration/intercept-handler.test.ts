/** What a handler in the process of a node gets to see, and who gets to see it. */
import { Agent, request as httpRequest } from 'node:http';
import net from 'node:net';
import express from 'express';
import express4 from 'express4';
import { describe, expect, it, onTestFinished } from 'vitest';
import { anynode, memoryBackplane } from '../../src/index.js';
import { activeResources, leftBehind } from '../support/leaks.js';
import { listen, openSession, startNode } from './support/serve.js';
import { mapEndpoint } from './support/map-endpoint.js';

const call = (name: string, args = {}) => ({ name, arguments: args });

interface Seen {
  method: string;
  originalUrl: string;
  baseUrl: string;
  url: string;
  query: unknown;
  params: unknown;
  headers: Record<string, unknown>;
  body: unknown;
  user: unknown;
  auth: unknown;
  locals: unknown;
  setting: unknown;
  ip: unknown;
  protocol: string;
  hostname: string;
  raw: string[];
}

describe.each([
  ['Express 5', express, false],
  ['Express 4', express4, false],
  ['Express 5, behind express.json()', express, true],
  ['Express 4, behind express.json()', express4, true],
])('%s', (_, framework, parsed) => {
  it('a handler sees what it would see if it were mounted itself', async () => {
    const seen: Seen[] = [];
    const inner = mapEndpoint().handler;
    const mcp = anynode({
      handler: (req, res, next) => {
        seen.push({
          ...{ method: req.method, originalUrl: req.originalUrl, baseUrl: req.baseUrl },
          ...{ url: req.url, query: { ...req.query }, params: { ...req.params } },
          ...{ headers: { ...req.headers }, body: req.body as unknown, raw: [...req.rawHeaders] },
          user: (req as { user?: unknown }).user,
          auth: (req as { auth?: unknown }).auth,
          locals: { ...res.locals },
          setting: req.app.get('setting') as unknown,
          ...{ ip: req.ip, protocol: req.protocol, hostname: req.hostname },
        });
        inner(req, res, next);
      },
      allowedHosts: ['mcp.example.com'],
    });
    onTestFinished(() => mcp.close({ drainMs: 0 }));
    const auth = { token: 't', clientId: 'c', scopes: [] };
    const app = framework();
    app.set('setting', 'mine');
    if (parsed) app.use(express.json());
    let mine: unknown;
    app.use((req, res, next) => {
      mine = req.headers['x-mine'];
      Object.assign(req, { user: 'ada', auth });
      res.locals.tenant = 'acme';
      next();
    });
    app.use('/:tenant/mcp', mcp);
    const url = (await listen(app)).replace('/mcp', '/acme/mcp?x=1&y[]=2');
    const headers = {
      ...{ host: 'mcp.example.com', authorization: 'Bearer secret', 'x-mine': 'Ä' },
      ...{ 'x-forwarded-for': '1.2.3.4', 'x-forwarded-host': 'evil', te: 'trailers' },
    };
    const { client, sessionId } = await openSession(url, { headers });
    const answer = await client.request(url, 'tools/call', call('echo', { a: 'b' }));
    expect(answer.result).toBeDefined();

    const post = seen.at(-1);
    expect(post).toMatchObject({
      ...{ method: 'POST', originalUrl: '/acme/mcp?x=1&y[]=2', baseUrl: '/acme/mcp' },
      ...{ url: '/?x=1&y[]=2', params: { tenant: 'acme' }, user: 'ada', auth },
      ...{ locals: { tenant: 'acme' }, setting: 'mine' },
      ...{ ip: '127.0.0.1', protocol: 'http', hostname: 'mcp.example.com' },
      headers: {
        ...{ host: 'mcp.example.com', authorization: 'Bearer secret', 'x-mine': mine },
        'x-forwarded-for': '1.2.3.4',
      },
    });
    expect(post?.query).toMatchObject({ x: '1' });
    if (parsed) expect(post?.body).toMatchObject({ params: call('echo', { a: 'b' }) });
    else expect(Object.keys(post?.body ?? {})).toEqual([]);
    for (const { headers, raw } of seen) {
      expect(JSON.stringify([headers, raw])).not.toMatch(new RegExp(`${sessionId}|ticket`, 'i'));
    }
    const get = seen.find(({ method }) => method === 'GET');
    expect(get).toMatchObject({ user: 'ada', headers: { authorization: 'Bearer secret' } });
  });
});

it('nobody else reaches the handler by its port', async () => {
  const ports: number[] = [];
  const seen: string[] = [];
  const inner = mapEndpoint().handler;
  const node = await startNode({
    server: undefined,
    handler: (req, res, next) => {
      seen.push(req.originalUrl);
      if (req.socket.localPort !== undefined) ports.push(req.socket.localPort);
      inner(req, res, next);
    },
  });
  await openSession(node.url);
  const outcomes = ['', 'guessed'].map(
    (ticket) =>
      new Promise<string>((resolve) => {
        const agent = new Agent();
        const options = {
          port: ports[0],
          agent,
          path: '/hostile',
          headers: { 'x-anynode-ticket': ticket },
        };
        httpRequest({ host: '127.0.0.1', ...options }, () => resolve('answered'))
          .on('error', ({ message }) => resolve(message))
          .end();
      }),
  );
  expect(await Promise.all(outcomes)).toEqual(['socket hang up', 'socket hang up']);
  expect(seen).not.toContain('/hostile');
});

it('a handler that throws, and one that passes on', async () => {
  const boom = await startNode({
    server: undefined,
    handler: () => {
      throw new Error('boom');
    },
  });
  await expect(openSession(boom.url)).rejects.toThrow('Expected 200, got 502');
  const passing = await startNode({ server: undefined, handler: (_req, _res, next) => next() });
  await expect(openSession(passing.url)).rejects.toThrow('Expected 200, got 404');
});

it('close() leaves no socket, no timer and no port behind', async () => {
  const { handler, transports } = mapEndpoint();
  let port = 0;
  const mcp = anynode({
    handler: (req, res, next) => {
      port = req.socket.localPort ?? 0;
      handler(req, res, next);
    },
  });
  const url = await listen(express().use('/mcp', mcp));
  const listening = activeResources();
  for (let session = 0; session < 5; session += 1) {
    const { client } = await openSession(url);
    await client.request(url, 'tools/call', call('echo'));
    client.close();
  }
  expect(transports.size).toBe(5);
  await mcp.close({ drainMs: 0 });
  expect(transports.size).toBe(0);
  expect(await leftBehind(listening)).toEqual({});
  const refused = new Promise((resolve) => {
    net.connect(port, '127.0.0.1').on('error', ({ message }) => resolve(message));
  });
  expect(await refused).toContain('ECONNREFUSED');
});

it('with owners, a call that came in on another node reaches the handler with its headers, its caller and its URL', async () => {
  const backplane = memoryBackplane();
  const seen: unknown[] = [];
  const start = async (name: string) => {
    const inner = mapEndpoint().handler;
    const mcp = anynode({
      handler: (req, res, next) => {
        const { auth } = req as { auth?: { clientId: string } };
        if (req.method === 'POST' && (req.body as { method?: string }).method === 'tools/call') {
          seen.push([name, req.originalUrl, req.baseUrl, req.headers['x-mine'], auth?.clientId]);
        }
        inner(req, res, next);
      },
      ...{ backplane, affinity: 'owner' as const },
    });
    onTestFinished(() => mcp.close({ drainMs: 0 }));
    const app = express().use(express.json(), (req, _res, next) => {
      Object.assign(req, { auth: { token: 't', clientId: 'c', scopes: [] } });
      next();
    });
    return listen(app.use('/deep/mcp', mcp));
  };
  const urls = [await start('a'), await start('b')].map((url) => url.replace('/mcp', '/deep/mcp'));
  const [a = '', b = ''] = urls;
  const { client } = await openSession(a, { headers: { 'x-mine': 'mine' } });
  const { result } = await client.request(`${b}?q=1`, 'tools/call', call('echo'));
  expect(result).toBeDefined();
  expect(seen).toEqual([['a', '/deep/mcp?q=1', '/deep/mcp', 'mine', 'c']]);
});
