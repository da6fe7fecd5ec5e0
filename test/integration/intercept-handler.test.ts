/** What a handler in the process of a node sees of a request, and who can reach it. */
import { AsyncLocalStorage } from 'node:async_hooks';
import type net from 'node:net';
import express from 'express';
import express4 from 'express4';
import { describe, expect, it, onTestFinished } from 'vitest';
import { anynode, memoryBackplane } from '../../src/index.js';
import { activeResources, leftBehind } from '../support/leaks.js';
import { listen, openSession, startNode } from './support/serve.js';
import { request } from '../support/mcp-http.js';
import { newGate } from './support/gate.js';
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
  it('gives a handler the same request as a mount of its own', async () => {
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

// On a port, other processes of the machine could reach the handler without the authentication in front.
it('a node reaches its handler over sockets that no other process can reach', async () => {
  const listening = (): number =>
    process.getActiveResourcesInfo().filter((name) => name === 'TCPServerWrap').length;
  const ports = new Set<number | undefined>();
  const inner = mapEndpoint().handler;
  const node = await startNode({
    server: undefined,
    handler: (req, res, next) => {
      ports.add(req.socket.localPort);
      inner(req, res, next);
    },
  });
  const before = listening();
  const { client } = await openSession(node.url);
  await client.request(node.url, 'tools/call', call('echo'));
  expect(listening()).toBe(before);
  expect([...ports]).toEqual([undefined]);
});

it('a node answers for a handler that throws, and for one that calls next()', async () => {
  const boom = await startNode({
    server: undefined,
    handler: () => {
      throw new Error('boom');
    },
  });
  await expect(openSession(boom.url)).rejects.toThrow('Expected 200, got 502');
  expect(boom.logged).toHaveLength(1);
  expect(boom.logged[0]).toContain('the handler failed: Error: boom');
  const late = await startNode({
    server: undefined,
    handler: (_req, res) => {
      res.setHeader('x-half', 'made').status(200);
      return Promise.reject(Object.assign(new Error('late'), { status: 422 }));
    },
  });
  await expect(openSession(late.url)).rejects.toThrow('Expected 200, got 422');
  const passing = await startNode({ server: undefined, handler: (_req, _res, next) => next() });
  await expect(openSession(passing.url)).rejects.toThrow('Expected 200, got 502');
});

// Connections are used again. The context of the request that opened one has nothing to do with later requests.
it('a node does not call a handler in the asynchronous context of another request', async () => {
  const storage = new AsyncLocalStorage<string>();
  const seen = new Set<string | undefined>();
  const inner = mapEndpoint().handler;
  const mcp = anynode({
    handler: (req, res, next) => {
      seen.add(storage.getStore());
      req.once('end', () => seen.add(storage.getStore()));
      res.once('close', () => seen.add(storage.getStore()));
      inner(req, res, next);
    },
  });
  onTestFinished(() => mcp.close({ drainMs: 0 }));
  const app = express();
  app.use((req, _res, next) => storage.run(req.header('x-tenant') ?? '', next));
  const url = await listen(app.use('/mcp', mcp));
  for (const tenant of ['a', 'b']) {
    const { client } = await openSession(url, { headers: { 'x-tenant': tenant } });
    await client.request(url, 'tools/call', call('echo'));
    (await client.delete(url)).expect(200);
  }
  expect([...seen]).toEqual([undefined]);
});

it('a handler is told when no client waits for its response any more, and when it can write again', async () => {
  const { handler } = mapEndpoint();
  const closed = newGate();
  const begun = newGate();
  const turns: boolean[] = [];
  const node = await startNode({
    server: undefined,
    handler: (req, res, next) => {
      const what = req.header('x-what');
      if (what === 'hold') {
        res.once('close', closed.open);
        res.writeHead(200, { 'content-type': 'text/event-stream' }).write(': it begins\n\n');
        begun.open();
      } else if (what === 'fill') {
        const text = JSON.stringify({
          jsonrpc: '2.0',
          id: 'f',
          result: { x: 'x'.repeat(100_000) },
        });
        res.writeHead(200, { 'content-type': 'application/json' });
        turns.push(res.write(text));
        res.once('drain', () => {
          turns.push(true);
          res.end();
        });
      } else {
        handler(req, res, next);
      }
    },
  });
  const { client } = await openSession(node.url);
  const hold = { headers: { 'x-what': 'hold' } };
  const held = await client.post(node.url, request('h', 'tools/call', call('echo')), hold);
  await begun.opened;
  await client.notify(node.url, 'notifications/cancelled', { requestId: 'h' });
  await closed.opened;
  expect(await held.sse.untilEnded()).toBe('end');
  const fill = { headers: { 'x-what': 'fill' } };
  const full = await client.post(node.url, request('f', 'tools/call', call('echo')), fill);
  expect(await full.answer('f')).toHaveProperty('result.x.length', 100_000);
  expect(turns).toEqual([false, true]);
});

it('close() leaves no socket and no timer of a handler behind', async () => {
  const { handler, transports } = mapEndpoint();
  const sockets = new Set<net.Socket>();
  const mcp = anynode({
    handler: (req, res, next) => {
      sockets.add(req.socket);
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
  expect(sockets.size).toBeGreaterThan(1);
  await expect.poll(() => [...sockets].filter(({ destroyed }) => !destroyed)).toEqual([]);
});

it("a call from another node reaches the owner's handler with its headers, its caller and its URL", async () => {
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

// An application of a framework is mounted as a whole, with its routes below a path of its own.
describe.each([
  ['Express 5', express],
  ['Express 4', express4],
] as [string, typeof express][])('an application of %s as `handler`', (_, framework) => {
  /** Makes an application with its endpoint at `path`, which records what its route has seen. */
  function application(path: string) {
    const seen: string[] = [];
    const app = framework().set('tenant', 'of its own');
    app.all(path, (req, res, next) => {
      const { baseUrl, url, originalUrl } = req;
      seen.push([baseUrl, url, originalUrl, req.app.get('tenant')].join(' '));
      next();
    });
    app.use(path, mapEndpoint().handler);
    return { app, seen };
  }

  it.each([
    ['use', '/', '/mcp /?q=1 /mcp?q=1 of its own'],
    ['all', '/mcp', ' /mcp?q=1 /mcp?q=1 of its own'],
  ] as const)('under `%s` has its route at %s', async (as, path, sight) => {
    const { app, seen } = application(path);
    const node = await startNode({ server: undefined, handler: app, mount: { as } });
    const url = `${node.url}?q=1`;
    const { client } = await openSession(url);
    expect((await client.request(url, 'tools/call', call('echo'))).result).toBeDefined();
    expect(seen.at(-1)).toBe(sight);
  });

  it('with its route at another path is not found: `initialize` gets 502, and the log names the status', async () => {
    const { app } = application('/mcp');
    const node = await startNode({ server: undefined, handler: app });
    await expect(openSession(node.url)).rejects.toThrow('Expected 200, got 502');
    expect(node.logged.join()).toContain('404');
  });
});
