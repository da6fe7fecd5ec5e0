/** The middleware as an Express user sees it: Express versions, mounts, and middleware in front and behind. */
import { AsyncLocalStorage } from 'node:async_hooks';
import cors from 'cors';
import express, { type ErrorRequestHandler } from 'express';
import supertest from 'supertest';
import { describe, expect, it } from 'vitest';
import { request } from '../support/mcp-http.js';
import { mounted, openSession, rawClient, startNode, STORES, type Mount } from './support/serve.js';
import { INITIALIZE } from './support/side-by-side.js';

const ACCEPT = 'application/json, text/event-stream';

const mounts: [string, Mount][] = ([4, 5] as const).flatMap((major) =>
  (['use', 'all'] as const).flatMap((as): [string, Mount][] => [
    [`Express ${major}, app.${as}`, { express: major, as }],
    [
      `Express ${major}, app.${as}, behind express.json()`,
      { express: major, as, before: [express.json()] },
    ],
    [
      `Express ${major}, app.${as}, behind cors() and a timer`,
      { express: major, as, before: [cors(), (_req, _res, next) => void setImmediate(next)] },
    ],
  ]),
);

mounts.push(
  ['Express 4, its server making its requests', { express: 4, made: true }],
  ['Express 5, its server making its requests', { express: 5, made: true }],
  ['no Express', { express: 'none' }],
);

describe.each(mounts)('%s', (_, mount) => {
  it('serves a session from its beginning to its end', async () => {
    const { url, mcp } = await startNode({ mount });
    const client = rawClient();
    await client.initialize(url);
    const listener = await client.listen(url);
    const params = { name: 'echo', arguments: { text: 'ä'.repeat(5_000) } };
    const answer = await client.request(url, 'tools/call', params);
    expect(answer.result).toMatchObject({ content: [{ text: JSON.stringify(params.arguments) }] });
    await mcp.session(client.sessionId ?? '').notify({ method: 'notifications/x' });
    await listener.next();
    expect((await client.send('PUT', url)).status).toBe(405);
    expect((await client.send('POST', url, '{')).status).toBe(400);
    (await client.delete(url)).expect(200);
    expect(await listener.untilEnded()).toBe('end');
    expect((await client.post(url, request(1, 'ping'))).status).toBe(404);
  });
});

describe('a node that is called without a port', () => {
  it('answers a plain HTTP client in JSON', async () => {
    const { app } = await startNode({ responseMode: 'json' });
    const agent = supertest(app);
    const opened = await agent.post('/mcp').set('accept', ACCEPT).send(INITIALIZE).expect(200);
    expect(opened.body).toMatchObject({ id: 1, result: { serverInfo: { name: 'scripted' } } });
    const session = { accept: ACCEPT, 'mcp-session-id': String(opened.get('mcp-session-id')) };
    await agent
      .post('/mcp')
      .set(session)
      .send({ jsonrpc: '2.0', method: 'notifications/initialized' })
      .expect(202)
      .expect('');
    await agent
      .post('/mcp')
      .set(session)
      .send(request(2, 'tools/call', { name: 'echo', arguments: { a: 1 } }))
      .expect('content-type', 'application/json')
      .expect(200, {
        jsonrpc: '2.0',
        id: 2,
        result: { content: [{ type: 'text', text: '{"a":1}' }] },
      });
    await agent.delete('/mcp').set(session).expect(200).expect('');
    await agent.delete('/mcp').set(session).expect(404);
  });

  it('refuses with JSON-RPC errors that have the id null', async () => {
    const { app, mcp } = await startNode();
    const agent = supertest(app);
    const error = (code: number, message: string) => ({
      jsonrpc: '2.0',
      error: { code, message },
      id: null,
    });
    await agent
      .put('/mcp')
      .expect(405, error(-32000, 'Method not allowed.'))
      .expect('allow', 'GET, POST, DELETE')
      .expect('x-anynode-node', mcp.nodeId);
    await agent.options('/mcp').expect(405);
    await agent.head('/mcp').expect(405);
    await agent
      .get('/mcp')
      .expect(406, error(-32000, 'Not Acceptable: Client must accept text/event-stream'));
    await agent
      .get('/mcp')
      .set('accept', 'text/event-stream')
      .expect(400, error(-32000, 'Bad Request: Mcp-Session-Id header is required'));
    // Clients of 2026-07-28 ask this first, without a session. A 4xx makes them send `initialize`.
    await agent
      .post('/mcp')
      .set('accept', ACCEPT)
      .send(request(1, 'server/discover'))
      .expect(400, error(-32000, 'Bad Request: Mcp-Session-Id header is required'));
  });
});

describe('a node among other middleware', () => {
  it('lets a browser read the session id behind cors()', async () => {
    const exposedHeaders = ['mcp-session-id'];
    const { app } = await startNode({ mount: { before: [cors({ exposedHeaders })] } });
    const agent = supertest(app);
    await agent
      .options('/mcp')
      .set({ origin: 'https://app.example', 'access-control-request-method': 'POST' })
      .expect(204)
      .expect('access-control-allow-origin', '*');
    await agent
      .post('/mcp')
      .set({ accept: ACCEPT, origin: 'https://app.example' })
      .send(INITIALIZE)
      .buffer(true)
      .expect(200)
      .expect('access-control-expose-headers', 'mcp-session-id')
      .expect('mcp-session-id', /.+/);
  });

  it("passes an error of the application's code to its error handler", async () => {
    const failing = () => {
      throw new Error('no such tenant');
    };
    const { mcp } = await startNode({ principal: failing });
    const app = mounted(mcp);
    const onError: ErrorRequestHandler = (error: Error, _req, res, next) =>
      res.headersSent ? next(error) : void res.status(418).send(error.message);
    app.use(onError);
    await supertest(app)
      .post('/mcp')
      .set('accept', ACCEPT)
      .send(INITIALIZE)
      .expect(418, 'no such tenant');
  });

  it.each(STORES)(
    'keeps the async context of each request in its handler, over %s',
    async (_store, openStore) => {
      const storage = new AsyncLocalStorage<string>();
      const { url } = await startNode({
        backplane: openStore()(),
        tools: {
          who: async () => {
            await Promise.resolve();
            return String(storage.getStore());
          },
        },
        mount: { before: [(req, _res, next) => storage.run(String(req.headers['x-who']), next)] },
      });
      const { client } = await openSession(url);
      const names = Array.from({ length: 40 }, (_each, n) => `w${n}`);
      const answers = names.map(async (name) => {
        const call = request(name, 'tools/call', { name: 'who', arguments: {} });
        const response = await client.post(url, call, { headers: { 'x-who': name } });
        return (await response.answer(name)).result;
      });
      // The requests run at once. None sees the context of another, although they are stored and carried out together.
      expect(await Promise.all(answers)).toEqual(
        names.map((text) => ({ content: [{ type: 'text', text }] })),
      );
    },
  );

  it('is one node under two paths and in a router', async () => {
    const { mcp } = await startNode({ responseMode: 'json' });
    const app = mounted(mcp);
    app.use('/api', express.Router().use('/v1/mcp', mcp));
    const agent = supertest(app);
    const opened = await agent.post('/mcp').set('accept', ACCEPT).send(INITIALIZE).expect(200);
    await agent
      .post('/api/v1/mcp')
      .set({ accept: ACCEPT, 'mcp-session-id': String(opened.get('mcp-session-id')) })
      .send(request(1, 'ping'))
      .expect(200, { jsonrpc: '2.0', id: 1, result: {} });
  });

  it('shows the handler the headers and the whole URL of its request', async () => {
    const { url } = await startNode({
      tools: {
        look: ({ extra }) =>
          JSON.stringify([extra.requestInfo?.headers['x-trace'], extra.requestInfo?.url]),
      },
    });
    const client = rawClient({ headers: { 'x-trace': 'abc' } });
    await client.initialize(url);
    const asked = request('q', 'tools/call', { name: 'look' });
    const answer = await (await client.post(`${url}?a=1`, asked)).answer('q');
    expect(answer.result).toMatchObject({
      content: [{ text: JSON.stringify(['abc', `${url}?a=1`]) }],
    });
  });
});
