/**
 * `serverOptionsFor`: a server makes its requests and responses as those of an application, and behaves as before
 * otherwise.
 */
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer, IncomingMessage, request, ServerResponse } from 'node:http';
import { createServer as createSecureServer, request as secureRequest } from 'node:https';
import type { AddressInfo } from 'node:net';
import { json, text } from 'node:stream/consumers';
import express, { type Application, type Express } from 'express';
import express4 from 'express4';
import { describe, expect, it, onTestFinished } from 'vitest';
import { serverOptionsFor } from '../../src/index.js';
import { listen } from './support/serve.js';

const NEEDED = Number.parseInt(process.versions.node, 10) < 24;

describe.each([
  ['Express 4', express4],
  ['Express 5', express],
])('%s', (_, make: () => Express) => {
  it.runIf(NEEDED)("finds the application's prototypes in place", async () => {
    const app = make();
    const server = createServer(serverOptionsFor(app));
    const found: unknown[] = [];
    server.on('request', (req, res) => {
      found.push(Object.getPrototypeOf(req) === app.request);
      found.push(Object.getPrototypeOf(res) === app.response);
      const { setPrototypeOf } = Object;
      let changes = 0;
      Object.setPrototypeOf = (object: object, prototype: object | null) => {
        if (Object.getPrototypeOf(object) !== prototype) changes += 1;
        return setPrototypeOf(object, prototype) as unknown;
      };
      app(req, res);
      Object.setPrototypeOf = setPrototypeOf;
      found.push(changes);
    });
    app.get('/', (_req, res) => void res.json({}));
    expect((await fetch(await origin(server))).status).toBe(200);
    expect(found).toEqual([true, true, 0]);
  });

  it('answers as on any server', async () => {
    const app = make();
    app.set('etag', false);
    const inner = make();
    inner.get('/', (req, res) => void res.json([req.baseUrl, req.app === inner]));
    app.use('/inner', inner);
    app.post('/echo', express.json(), (req, res) => {
      const { ip, protocol, path, query, secure } = req;
      const body: unknown = req.body;
      res.status(201).cookie('a', 'b').vary('accept');
      res.json([ip, protocol, path, query, body, secure, req.get('x-a'), req.is('json')]);
    });
    app.get('/node', (req, res) => {
      const made = [req instanceof IncomingMessage, res instanceof ServerResponse, req.res === res];
      res.json([
        ...made,
        res.req === req,
        Object.keys(req).toSorted(),
        Object.keys(res).toSorted(),
      ]);
    });
    const urls = [await listen(app), await listen(app, serverOptionsFor(app))];
    const post = {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-a': 'b' },
      body: '{"a":["ä"]}',
    };
    for (const [path, status, init] of [
      ['/inner', 200, {}],
      ['/echo?a=1&b[c]=2', 201, post],
      ['/echo', 400, { ...post, body: '{' }],
      ['/node', 200, {}],
      ['/nowhere', 404, {}],
    ] as const) {
      const [plain, made] = await Promise.all(
        urls.map(async (url) => {
          const response = await fetch(new URL(path, url), init);
          const headers = [...response.headers].filter(([name]) => name !== 'date');
          return [response.status, headers, await response.text()];
        }),
      );
      expect(made).toEqual(plain);
      expect(made?.[0]).toBe(status);
    }
  });
});

it('accepts a value of the type `Application`, too', async () => {
  const app: Application = express();
  app.get('/', (_req, res) => void res.json('ok'));
  const url = await listen(app, serverOptionsFor(app));
  expect(await (await fetch(new URL('/', url))).json()).toBe('ok');
});

it('works over HTTPS', async () => {
  const app = express().get('/', (req, res) => void res.json([req.secure, req.protocol]));
  const files = new URL('../support/tls/', import.meta.url);
  const [cert, key] = await Promise.all(
    ['cert.pem', 'key.pem'].map((file) => readFile(new URL(file, files))),
  );
  const server = createSecureServer({ cert, key, ...serverOptionsFor(app) }, app);
  const url = (await origin(server)).replace('http:', 'https:');
  const sent = secureRequest(url, { rejectUnauthorized: false, agent: false }).end();
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  expect(await json(response)).toEqual([true, 'https']);
});

it('keeps what a server does with requests by itself', async () => {
  const app = express().post('/', (req, res) => void req.pipe(res));
  const server = createServer(serverOptionsFor(app), app);
  server.on('upgrade', (req: IncomingMessage, socket) => {
    socket.end(
      `HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: b\r\nx-url: ${req.url}\r\n\r\n`,
    );
  });
  const url = await origin(server);
  const asked = request(`${url}/a`, { headers: { connection: 'upgrade', upgrade: 'b' } }).end();
  const [switched] = (await once(asked, 'upgrade')) as [IncomingMessage];
  expect([switched.statusCode, switched.headers['x-url']]).toEqual([101, '/a']);
  switched.socket.destroy();

  const careful = request(url, { method: 'POST', headers: { expect: '100-continue' } });
  careful.flushHeaders();
  await once(careful, 'continue');
  careful.end('abc');
  const [response] = (await once(careful, 'response')) as [IncomingMessage];
  expect(await text(response)).toBe('abc');
});

it.each([
  ['nothing', {}],
  ['other objects', { request: {}, response: {} }],
  ['the one for the other', { request: express.response, response: express.request }],
])('throws for a value that is no application: %s', (_, app) => {
  expect(() => serverOptionsFor(app as Express)).toThrow(
    new TypeError('serverOptionsFor takes an Express application'),
  );
});

async function origin(server: ReturnType<typeof createServer>): Promise<string> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.close();
    server.closeAllConnections();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
