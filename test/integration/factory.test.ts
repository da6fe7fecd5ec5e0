/** The factory of the application: its arguments, what requests get when it fails, and when its server is closed. */
import type { RequestHandler } from 'express';
import { describe, expect, it } from 'vitest';
import {
  memoryBackplane,
  type Backplane,
  type ServerContext,
  type ServerLike,
} from '../../src/index.js';
import { systemClock } from '../../src/protocol/timing/clock.js';
import { request } from '../support/mcp-http.js';
import { scriptedServer } from './support/scripted-server.js';
import {
  openSession,
  rawClient,
  startNode,
  startSession,
  type NodeOptions,
} from './support/serve.js';
import { eventually, signal } from './support/signal.js';

const INTERNAL = { code: -32603, message: 'Internal error' };

it('the factory is told of the session, and whether it is rehydrated, once on each node', async () => {
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

// Bug: the public type had no `requestInfo`, although every factory got it.
it.each(['any', 'owner'] as const)(
  'the factory is told of the request that needs the server, and of its caller (affinity: %s)',
  async (affinity) => {
    const contexts: ServerContext[] = [];
    const authorize: RequestHandler = (req, _res, next) => {
      const auth = { token: 't', clientId: 'c', scopes: [], extra: { of: req.header('x-mine') } };
      next(void Object.assign(req, { auth }));
    };
    const options = {
      ...{ backplane: memoryBackplane(), affinity, mount: { before: [authorize] } },
      principal: () => 'ada',
      server: (context: ServerContext) => {
        contexts.push(context);
        return scriptedServer();
      },
    };
    const a = await startNode(options);
    const b = await startNode(options);
    const client = rawClient();
    await client.initialize(`${a.url}?q=1`, { headers: { 'x-mine': 'first' } });
    if (affinity === 'owner') await a.mcp.close({ drainMs: 0 });
    await client.request(`${b.url}?q=2`, 'ping', {}, { headers: { 'x-mine': 'second' } });
    const told = contexts.map(({ rehydrated, authInfo, requestInfo }) => [
      ...[rehydrated, authInfo?.extra, requestInfo?.headers['x-mine'], requestInfo?.url.href],
    ]);
    expect(told).toEqual([
      [false, { of: 'first' }, 'first', `${a.url}?q=1`],
      [true, { of: 'second' }, 'second', `${b.url}?q=2`],
    ]);
  },
);

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
  it('answers `initialize` with an error and no session, and the next one can succeed', async () => {
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

  it('fails the request that brings a session to another node, and the session lives on', async () => {
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

it('an async factory is called once for all requests that wait for it', async () => {
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

it('DELETE while the server is being built ends the waiting request, and leaves nothing behind', async () => {
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

it('a server that refuses `initialize` gives the client its error, and no session', async () => {
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

it('a server that never answers delays its own call, and no other', async () => {
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

it('a server that closes itself fails its running calls, and the next request gets a new one', async () => {
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

it('a server whose close() throws does not disturb the node', async () => {
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

describe('`onclose` of a server is called once', () => {
  /** Starts two nodes in one process, and counts how often each server of the first one was closed. */
  async function counted(options: NodeOptions = {}) {
    const backplane = memoryBackplane();
    let closed = 0;
    const server = (): ServerLike => {
      const built = scriptedServer({ quit: ({ server }) => server.close().then(() => 'unheard') });
      built.onclose = () => (closed += 1);
      return built;
    };
    const a = await startNode({ backplane, server, ...options });
    const b = await startNode({ backplane, ...options });
    return { a, b, backplane, closed: () => closed, ...(await openSession(a.url)) };
  }

  /** Looks again later than anything that was under way, because a second call would count. */
  async function once({ a, closed }: Awaited<ReturnType<typeof counted>>): Promise<void> {
    await eventually(() => closed() > 0);
    await a.mcp.close({ drainMs: 0 });
    expect(closed()).toBe(1);
  }

  it('after DELETE on any node', async () => {
    const all = await counted();
    (await all.client.delete(all.b.url)).expect(200);
    await once(all);
  });

  it('when it was idle for `replicaIdleMs`, and the session lives on', async () => {
    const all = await counted({ replicaIdleMs: 100 });
    await eventually(() => all.closed() > 0);
    expect(await all.client.request(all.b.url, 'ping')).toMatchObject({ result: {} });
    await once(all);
  });

  it('when another session needs its place (`maxReplicas`)', async () => {
    const all = await counted({ maxReplicas: 1 });
    const other = await openSession(all.a.url);
    await eventually(() => all.closed() > 0);
    expect(all.closed()).toBe(1);
    expect(await other.client.request(all.a.url, 'ping')).toMatchObject({ result: {} });
  });

  it('before `close()` of its node resolves', async () => {
    const { a, closed } = await counted();
    await a.mcp.close({ drainMs: 0 });
    expect(closed()).toBe(1);
  });

  it('when another node has become the owner of the session', async () => {
    const all = await counted({ affinity: 'owner' });
    await takeOver(all.backplane, all.sessionId, all.a.mcp.nodeId);
    await once(all);
  });

  it('when it refuses `initialize`', async () => {
    let closed = 0;
    const server = () => {
      const refusing = scriptedServer();
      refusing.removeRequestHandler('initialize');
      refusing.onclose = () => (closed += 1);
      return refusing;
    };
    const { url, mcp } = await startNode({ server });
    await rawClient().initialize(url, { initialized: false });
    await mcp.close();
    expect(closed).toBe(1);
  });

  it('when it closes itself', async () => {
    const all = await counted();
    const quit = request('q', 'tools/call', { name: 'quit', arguments: {} });
    await (await all.client.post(all.a.url, quit)).answer('q');
    await once(all);
  });
});

/** Takes the session over, as a node does that finds its owner dead. */
async function takeOver(store: Backplane, sessionId: string, dead: string): Promise<void> {
  const successor = store.join({
    ...{ nodeId: 'successor', leaseMs: 10_000, commandTimeoutMs: 2_000 },
    ...{ sessionTtlMs: 60_000, pendingTtlMs: 60_000 },
    retention: { maxEvents: 1_000, maxAgeMs: 60_000 },
    ...{ clock: systemClock, logger: console },
    ...{ onMessage: () => undefined, onLost: () => undefined, onLapse: () => undefined },
  });
  await successor.ready();
  const assign = { type: 'assign', stream: undefined, revision: undefined, dead } as const;
  await successor.commit({ sessionId, number: 1, operations: [assign] });
  expect((await successor.load(sessionId))?.owner).toBe('successor');
  await successor.leave();
}
