/** The factory is the user's code: what it is told, and what becomes of requests when it fails. */
import { describe, expect, it } from 'vitest';
import { memoryBackplane, type ServerContext, type ServerLike } from '../../src/index.js';
import { request } from '../support/mcp-http.js';
import { scriptedServer } from './support/scripted-server.js';
import { openSession, rawClient, startNode, startSession } from './support/serve.js';
import { eventually, signal } from './support/signal.js';

const INTERNAL = { code: -32603, message: 'Internal error' };

it('is told of the session, and whether it is built again, once per node', async () => {
  const contexts: ServerContext[] = [];
  const backplane = memoryBackplane();
  const options = {
    backplane,
    server: (context: ServerContext) => {
      contexts.push(context);
      return scriptedServer();
    },
  };
  const a = await startSession(options, { capabilities: { roots: {} } });
  const b = await startNode(options);
  await Promise.all([1, 2, 3].map(() => a.client.request(b.url, 'ping')));
  await a.client.request(a.url, 'ping');
  const clientCapabilities = { roots: {} };
  expect(contexts).toMatchObject([
    { rehydrated: false, session: { id: a.sessionId, state: 'initialized', clientCapabilities } },
    { rehydrated: true, session: { id: a.sessionId, state: 'active', clientCapabilities } },
  ]);
});

describe.each<[string, () => ServerLike | Promise<ServerLike>]>([
  [
    'throws',
    () => {
      throw new Error('no database');
    },
  ],
  ['rejects', () => Promise.reject(new Error('no database'))],
  [
    'gives a server that cannot connect',
    () => ({
      connect: () => Promise.reject(new Error('no database')),
      close: () => Promise.resolve(),
    }),
  ],
])('a factory that %s', (_, broken) => {
  it('at `initialize`: an error, no session, and the next try is a new one', async () => {
    let healthy = false;
    const server = () => (healthy ? scriptedServer() : broken());
    const { url, mcp, logged } = await startNode({ server });
    const client = rawClient();
    const answer = await client.initialize(url, { initialized: false });
    expect(answer.error).toEqual(INTERNAL);
    expect(client.sessionId).toBeUndefined();
    expect(logged.join()).toContain('no database');
    expect(mcp.health().sessions).toBe(0);
    healthy = true;
    await client.initialize(url);
    expect(await client.request(url, 'ping')).toMatchObject({ result: {} });
  });

  it('when a session comes to another node: the request fails, the session does not', async () => {
    let healthy = false;
    const backplane = memoryBackplane();
    const { client } = await startSession({ backplane });
    const b = await startNode({ backplane, server: () => (healthy ? scriptedServer() : broken()) });
    expect((await client.request(b.url, 'ping')).error).toEqual(INTERNAL);
    const batch = await client.post(b.url, [request('x', 'ping'), request('y', 'ping')]);
    expect([await batch.answer('x'), await batch.answer('y')].map(({ error }) => error)).toEqual([
      INTERNAL,
      INTERNAL,
    ]);
    expect(b.mcp.health()).toMatchObject({ sessions: 0, inFlight: 0 });
    healthy = true;
    expect(await client.request(b.url, 'ping')).toMatchObject({ result: {} });
  });
});

it('an async factory is waited for, once, by all that need it', async () => {
  const go = signal();
  const backplane = memoryBackplane();
  let built = 0;
  const { client } = await startSession({ backplane });
  const b = await startNode({
    backplane,
    server: async () => {
      built += 1;
      await go.promise;
      return scriptedServer();
    },
  });
  const answers = Promise.all([1, 2, 3].map(() => client.request(b.url, 'ping')));
  await eventually(() => b.mcp.health().inFlight === 3);
  go.resolve();
  expect(await answers).toMatchObject([{ result: {} }, { result: {} }, { result: {} }]);
  expect(built).toBe(1);
});

it('DELETE while the server is being built: the waiting request ends, and nothing stays', async () => {
  const [asked, go] = [signal(), signal()];
  const backplane = memoryBackplane();
  const { client, url } = await startSession({ backplane });
  let closed = 0;
  const b = await startNode({
    backplane,
    server: async () => {
      asked.resolve();
      await go.promise;
      const server = scriptedServer();
      server.onclose = () => (closed += 1);
      return server;
    },
  });
  const { sse } = await client.post(b.url, request(1, 'ping'));
  await asked.promise;
  (await client.delete(url)).expect(200);
  expect(await sse.untilEnded()).toBe('end');
  go.resolve();
  await eventually(() => closed === 1);
  expect(b.mcp.health()).toMatchObject({ sessions: 0, streams: 0, inFlight: 0 });
});

it('a server that refuses `initialize`: its error, and no session', async () => {
  const server = () => {
    const refusing = scriptedServer();
    refusing.removeRequestHandler('initialize');
    return refusing;
  };
  const { url, mcp } = await startNode({ server });
  const client = rawClient();
  const answer = await client.initialize(url, { initialized: false });
  expect(answer.error).toMatchObject({ code: -32601 });
  expect([client.sessionId, mcp.health().sessions]).toEqual([undefined, 0]);
});

it('a server that never answers holds up its own call, and no other', async () => {
  const started = signal();
  const tools = {
    never: () => {
      started.resolve();
      return new Promise<string>(() => undefined);
    },
  };
  const { client, url, mcp } = await startSession({ tools });
  const { sse } = await client.post(url, request(1, 'tools/call', { name: 'never' }));
  await started.promise;
  expect(await client.request(url, 'ping')).toMatchObject({ result: {} });
  expect(mcp.health().inFlight).toBe(1);
  (await client.delete(url)).expect(200);
  expect(await sse.untilEnded()).toBe('end');
  expect(mcp.health()).toMatchObject({ sessions: 0, inFlight: 0 });
});

it('a server that closes itself: what it was doing fails, and the next request gets a new one', async () => {
  const tools = {
    quit: async ({ server }: { server: ServerLike }) => {
      await server.close();
      return 'unheard';
    },
  };
  const { client, url } = await startSession({ tools });
  const answer = await client.request(url, 'tools/call', { name: 'quit' });
  expect(answer.error).toMatchObject({ code: -32000, message: 'Connection closed' });
  expect(await client.request(url, 'ping')).toMatchObject({ result: {} });
});

it('a server whose close() throws does no harm', async () => {
  const server = () => {
    const stubborn = scriptedServer();
    stubborn.close = () => Promise.reject(new Error('will not'));
    return stubborn;
  };
  const { url, mcp, logged } = await startNode({ server });
  const { client } = await openSession(url);
  (await client.delete(url)).expect(200);
  await eventually(() => logged.length > 0);
  expect(logged.join()).toContain('will not');
  await mcp.close();
});
