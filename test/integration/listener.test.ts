/** `mcp.listener` without Express: what is different about requests that come straight from Node's own server. */
import { once } from 'node:events';
import { request as httpRequest } from 'node:http';
import { createServer as createSecureServer, request as httpsRequest } from 'node:https';
import { readFile } from 'node:fs/promises';
import { connect, type AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import express, { type Express, type Request } from 'express';
import express4 from 'express4';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { Anynode, AuthInfo } from '../../src/index.js';
import { serverOptionsFor } from '../../src/index.js';
import { request } from '../support/mcp-http.js';
import { MODERN, postModern } from '../support/modern-http.js';
import { exchange } from './support/exchange.js';
import { mapEndpoint } from './support/map-endpoint.js';
import { modernOf } from './support/modern.js';
import { listen, openSession, rawClient, startNode, STORES } from './support/serve.js';
import { INITIALIZE } from './support/side-by-side.js';

const mount = { express: 'none' } as const;
const HEADERS = {
  accept: 'application/json, text/event-stream',
  'content-type': 'application/json',
};
const look = ({ extra }: { extra: { requestInfo?: { url?: URL } } }) =>
  String(extra.requestInfo?.url);

const textOf = (result: unknown) => (result as { content: { text: string }[] }).content[0]?.text;

describe.each(STORES)('over %s', (_, openStore) => {
  it('a session goes on between the listener and an Express application', async () => {
    const store = openStore();
    const plain = await startNode({ backplane: store(), mount });
    const inExpress = await startNode({ backplane: store() });
    const { client } = await openSession(plain.url);
    const listener = await client.listen(plain.url);
    const sent = { name: 'echo', arguments: { a: 1 } };
    for (const url of [inExpress.url, plain.url]) {
      expect(textOf((await client.request(url, 'tools/call', sent)).result)).toBe('{"a":1}');
    }
    await inExpress.mcp.notify.toolsChanged();
    expect((await listener.next()).message).toMatchObject({
      method: 'notifications/tools/list_changed',
    });
    (await client.delete(inExpress.url)).expect(200);
    expect((await client.post(plain.url, request(9, 'ping'))).status).toBe(404);
  });
});

it('the caller decides which paths reach it, and an application beside it gets all others', async () => {
  const { mcp } = await startNode({ mount });
  const app = express().get('/health', (_req, res) => void res.json(mcp.health().status));
  const url = await listen((req, res) => {
    if (req.url?.split('?', 1)[0] === '/mcp') mcp.listener(req, res);
    else app(req, res);
  });
  expect((await openSession(url)).sessionId).not.toBe('');
  expect(await (await fetch(new URL('/health', url))).json()).toBe('ready');
  expect((await fetch(new URL('/mcp/other', url))).status).toBe(404);
});

it('a handler sees the whole URL, with the scheme of the connection', async () => {
  const { url, mcp } = await startNode({ mount, tools: { look } });
  const { client, sessionId } = await openSession(url);
  const call = request(1, 'tools/call', { name: 'look', arguments: {} });
  const answer = await (await client.post(`${url}?a=1`, call)).answer(1);
  expect(textOf(answer.result)).toBe(`${url}?a=1`);

  const certificates = new URL('../support/tls/', import.meta.url);
  const [cert, key] = await Promise.all(
    ['cert.pem', 'key.pem'].map((file) => readFile(new URL(file, certificates))),
  );
  const secure = createSecureServer({ cert, key }, mcp.listener).listen(0, '127.0.0.1');
  onTestFinished(() => {
    secure.close();
    secure.closeAllConnections();
  });
  await once(secure, 'listening');
  const { port } = secure.address() as AddressInfo;
  const sent = httpsRequest({
    ...{ port, host: '127.0.0.1', path: '/mcp', method: 'POST', rejectUnauthorized: false },
    headers: { ...HEADERS, host: `localhost:${port}`, 'mcp-session-id': sessionId },
  }).end(JSON.stringify({ ...call, id: 2 }));
  const [response] = (await once(sent, 'response')) as [AsyncIterable<Uint8Array>];
  expect(await text(response)).toContain(`https://localhost:${port}/mcp`);
});

it('a request target that is not a URL is taken for a path, without harm', async () => {
  const { url } = await startNode({ mount, tools: { look } });
  const { sessionId } = await openSession(url);
  const { port } = new URL(url);
  const body = JSON.stringify(request(1, 'tools/call', { name: 'look', arguments: {} }));
  const socket = connect(Number(port), '127.0.0.1');
  onTestFinished(() => void socket.destroy());
  socket.write(
    [
      ...['POST //[?a HTTP/1.1', 'host: localhost'],
      ...Object.entries(HEADERS).map(([name, value]) => `${name}: ${value}`),
      ...[`mcp-session-id: ${sessionId}`, `content-length: ${body.length}`, '', body],
    ].join('\r\n'),
  );
  let received = '';
  // The connection stays open for more requests.
  for await (const chunk of socket) {
    received += String(chunk);
    if (received.includes('"result"')) break;
  }
  expect(received).toContain('"text":"http://localhost//[?a"');
});

// Otherwise a client could put any host into the target, since only the header is checked.
it.each([
  ['http://evil.example/mcp?a=1', '/mcp?a=1'],
  ['//evil.example/mcp', '//evil.example/mcp'],
  ['http://evil.example?a=1', '/?a=1'],
])('a handler sees the host of the Host header: %s', async (path, shown) => {
  const { url } = await startNode({ mount, tools: { look }, responseMode: 'json' });
  const { sessionId } = await openSession(url);
  const sent = httpRequest(url, {
    ...{ path, method: 'POST', agent: false },
    headers: { ...HEADERS, 'mcp-session-id': sessionId },
  }).end(JSON.stringify(request(1, 'tools/call', { name: 'look', arguments: {} })));
  const [response] = (await once(sent, 'response')) as [AsyncIterable<Uint8Array>];
  const answer = JSON.parse(await text(response)) as { result: unknown };
  expect(textOf(answer.result)).toBe(`${new URL(url).origin}${shown}`);
});

describe('authorization without Express', () => {
  it('takes `auth` on the request for the caller', async () => {
    const { mcp } = await startNode({
      mount,
      tools: { who: ({ extra }) => extra.authInfo?.clientId ?? '' },
    });
    const url = await listen((req, res) => {
      const clientId = req.headers.authorization;
      const auth: AuthInfo | undefined = clientId ? { token: '', clientId, scopes: [] } : undefined;
      mcp.listener(Object.assign(req, { auth }), res);
    });
    const { client, sessionId } = await openSession(url, { headers: { authorization: 'ann' } });
    const { result } = await client.request(url, 'tools/call', { name: 'who', arguments: {} });
    expect(textOf(result)).toBe('ann');
    const stranger = rawClient({ headers: { authorization: 'bob' } });
    stranger.sessionId = sessionId;
    expect((await stranger.post(url, request(1, 'ping'))).status).toBe(404);
  });

  it('gives `principal` the request of Node', async () => {
    const principal = ({ headers }: Request) => headers['x-user']?.toString();
    const { url } = await startNode({ mount, principal });
    const { sessionId } = await openSession(url, { headers: { 'x-user': 'ann' } });
    const stranger = rawClient({ headers: { 'x-user': 'bob' } });
    stranger.sessionId = sessionId;
    expect((await stranger.post(url, request(1, 'ping'))).status).toBe(404);
  });

  it('refuses a foreign Host on a loopback address, unless it is allowed', async () => {
    const guarded = await startNode({ mount });
    const open = await startNode({ mount, allowedHosts: ['mcp.example.com'] });
    const lines = Object.entries({ ...HEADERS, host: 'mcp.example.com' });
    const body = JSON.stringify(INITIALIZE);
    expect((await exchange('POST', guarded.url, lines, body)).status).toBe(403);
    const answer = await exchange('POST', open.url, lines, body);
    onTestFinished(() => answer.close());
    expect(answer.status).toBe(200);
  });
});

it.each([
  ['an error', new Error('no such tenant'), 'no such tenant'],
  // It cannot be turned into a text. Bug: logging it threw, and ended the process.
  ['what has no text', Object.create(null), 'null prototype'],
])(
  "%s thrown by the application's code becomes a JSON-RPC error, and is logged",
  async (_, why, said) => {
    const principal = () => {
      throw why;
    };
    const { url, logged } = await startNode({ mount, principal });
    const answer = await exchange('POST', url, Object.entries(HEADERS), JSON.stringify(INITIALIZE));
    expect(answer.status).toBe(500);
    expect(answer.json()).toEqual({
      jsonrpc: '2.0',
      error: { code: -32603, message: 'Internal error' },
      id: null,
    });
    expect(logged).toEqual([expect.stringContaining(said)]);
  },
);

// Without Express, nothing catches an error of the listener, and the process would end.
it.each([true, false])(
  'a request that was answered before is left alone, closed: %s',
  async (closed) => {
    const { mcp, logged } = await startNode({ mount });
    if (closed) await mcp.close({ drainMs: 0 });
    const thrown: unknown[] = [];
    const url = await listen((req, res) => {
      res.writeHead(408).end('too late');
      try {
        mcp.listener(req, res);
      } catch (error) {
        thrown.push(error);
      }
    });
    for (const method of ['POST', 'GET', 'DELETE']) {
      const body = method === 'POST' ? JSON.stringify(INITIALIZE) : undefined;
      const answer = await exchange(method, url, Object.entries(HEADERS), body);
      expect([answer.status, answer.body]).toEqual([408, 'too late']);
    }
    expect(thrown).toEqual([]);
    expect(logged).toEqual([]);
  },
);

it('a handler behind the listener is called as in an application of its own', async () => {
  const seen: unknown[] = [];
  const inner = express().use('/mcp', mapEndpoint().handler);
  const { url, logged } = await startNode({
    mount,
    server: undefined,
    handler: (req, res, next) => {
      seen.push([req.originalUrl, req.query, req.get('x-trace'), typeof req.app.get]);
      inner(req, res, next);
    },
  });
  const { client } = await openSession(`${url}?a=1`, { headers: { 'x-trace': 't' } });
  (await client.post(url, request(1, 'ping'))).expect(200);
  expect(seen[0]).toEqual(['/mcp?a=1', { a: '1' }, 't', 'function']);
  expect(logged).toEqual([]);
});

// Bug: the requests had the prototype of an application that does not handle them. Its `trust proxy` was applied, and a
// handler was called without what Express adds to a request.
describe.each([
  ['Express 4', express4],
  ['Express 5', express],
])(
  'a listener beside an application whose server makes its requests, %s',
  (_, make: () => Express) => {
    const beside = (mcp: Anynode) => {
      const app = make().set('trust proxy', true);
      return listen(
        (req, res) => (req.url === '/app' ? void app(req, res) : mcp.listener(req, res)),
        serverOptionsFor(app),
      );
    };

    it('ignores the settings of that application', async () => {
      const { mcp } = await startNode({ tools: { look } });
      const url = await beside(mcp);
      const { client } = await openSession(url, { headers: { 'x-forwarded-proto': 'https' } });
      const { result } = await client.request(url, 'tools/call', { name: 'look', arguments: {} });
      expect(textOf(result)).toBe(url);
      const lines = Object.entries({ ...HEADERS, host: 'mcp.example.com' });
      expect((await exchange('POST', url, lines, JSON.stringify(INITIALIZE))).status).toBe(403);
    });

    it('calls a handler as in an application of its own', async () => {
      const seen: unknown[] = [];
      const { mcp, logged } = await startNode({
        server: undefined,
        handler: ({ query, params, protocol }, res) => {
          seen.push([query, { ...params }, protocol]);
          res.sendStatus(400);
        },
      });
      const url = await beside(mcp);
      const lines = Object.entries({ ...HEADERS, 'x-forwarded-proto': 'https' });
      await exchange('POST', `${url}?a=1`, lines, JSON.stringify(INITIALIZE));
      expect(seen[0]).toEqual([{ a: '1' }, {}, 'http']);
      expect(logged).toEqual([expect.stringContaining('did not take `initialize`: status 400')]);
    });
  },
);

// Bug: after a request of an Express 4 application, requests without an application had no `query`. They had got its
// prototype, which has no getter for it.
it.each([
  ['four', 'plain', 'five'],
  ['plain', 'four', 'plain'],
  ['five', 'made', 'plain'],
] as const)(
  'a handler behind applications and the listener sees the right application: %s, %s, %s',
  async (...ways) => {
    const seen: unknown[] = [];
    const { mcp, logged } = await startNode({
      server: undefined,
      handler: (req, res) => {
        seen.push([req.app.get('name'), req.query, req.originalUrl, req.baseUrl, req.res === res]);
        res.status(400).json({});
      },
    });
    const appOf = (make: () => Express, name: string) => make().set('name', name).use('/mcp', mcp);
    const [four, five] = [appOf(express4, 'four'), appOf(express, 'five')];
    const made = appOf(express4, 'made');
    const urls = {
      four: await listen(four),
      five: await listen(five),
      made: await listen(made, serverOptionsFor(made)),
      plain: await listen(mcp.listener),
    };
    for (const way of ways) {
      const body = JSON.stringify(INITIALIZE);
      await exchange('POST', `${urls[way]}?a=1`, Object.entries(HEADERS), body);
      const [name, ...rest] = (seen.splice(0)[0] ?? []) as unknown[];
      if (way !== 'plain') expect(name).toBe(way);
      expect(rest).toEqual([{ a: '1' }, '/mcp?a=1', way === 'plain' ? '' : '/mcp', true]);
    }
    // It is logged once in ten seconds, however many requests are refused.
    expect(logged).toEqual([expect.stringContaining('did not take `initialize`: status 400')]);
  },
);

// A target that is parsed as a URL and written again may differ from what the client wrote.
it.each([
  ["/mcp/../mcp?a='b'|c", "/mcp/../mcp?a='b'|c"],
  ['//[?a=1', '//[?a=1'],
  ['http://localhost/mcp?a=1', '/mcp?a=1'],
  ['HTTP://localhost?a=1', '/?a=1'],
])(
  'a handler behind the listener sees the target that the client wrote: %s',
  async (path, seenUrl) => {
    const seen: string[][] = [];
    const { url } = await startNode({
      mount,
      server: undefined,
      handler: (req, res) => {
        seen.push([req.originalUrl, req.url]);
        res.sendStatus(400);
      },
    });
    await send(url, path);
    expect(seen[0]?.[1]).toBe(seenUrl);
    expect(seen[0]?.[0]).toBe(seenUrl.replace(/^\/\?/, '?'));
  },
);

it('a handler in an application sees the path of a target in absolute form', async () => {
  const seen: string[][] = [];
  const { url } = await startNode({
    server: undefined,
    handler: (req, res) => {
      seen.push([req.originalUrl, req.baseUrl, req.url]);
      res.sendStatus(400);
    },
  });
  await send(url, 'http://localhost/mcp?a=1');
  expect(seen[0]).toEqual(['/mcp?a=1', '/mcp', '/?a=1']);
});

/** Sends a session's first request to exactly this target. */
async function send(url: string, path: string): Promise<void> {
  const sent = httpRequest(url, { path, method: 'POST', headers: HEADERS, agent: false }).end(
    JSON.stringify(INITIALIZE),
  );
  const [response] = (await once(sent, 'response')) as [AsyncIterable<Uint8Array>];
  await text(response);
}

it('the listener serves clients of 2026-07-28, too', async () => {
  const { url } = await startNode({ mount, modern: modernOf() });
  const answer = await postModern(rawClient(), url, 1, 'server/discover');
  expect(answer.expect(200).json().result).toMatchObject({
    supportedVersions: expect.arrayContaining([MODERN]) as string[],
  });
});

it('the listener answers 503 after `close`', async () => {
  const { mcp, url } = await startNode({ mount });
  await mcp.close({ drainMs: 0 });
  const sent = httpRequest(url, { method: 'POST', headers: HEADERS }).end(
    JSON.stringify(INITIALIZE),
  );
  const [response] = (await once(sent, 'response')) as [
    AsyncIterable<Uint8Array> & { statusCode: number },
  ];
  expect(response.statusCode).toBe(503);
  await text(response);
});
