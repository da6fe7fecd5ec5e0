/** `mcp.sessions` and `mcp.session(id)`: what a process sees of any session, also one that it has never served. */
import { EmptyResultSchema } from '@modelcontextprotocol/sdk/types.js';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { LOG_START } from '../../src/backplane/backplane.js';
import type { SessionEvent } from '../../src/index.js';
import { hasMethod, request } from '../support/mcp-http.js';
import { openSession, rawClient, startNode, startSession, STORES } from './support/serve.js';
import { signal } from './support/signal.js';

const NONE = '00000000-0000-0000-0000-000000000000';
const GONE = { name: 'AnynodeError', code: 'session_not_found' };

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

describe.each(STORES)('over %s', (_, openStore) => {
  /** Starts a node with a session, and another node that looks at the session. */
  async function start() {
    const store = openStore();
    const a = await startSession({ backplane: store() }, { capabilities: { roots: {} } });
    const b = await startNode({ backplane: store() });
    return { ...a, b, seen: b.mcp.sessions, handle: b.mcp.session(a.sessionId) };
  }

  it('get() returns what the client said at initialize, and what it has set since', async () => {
    const { client, url, sessionId, seen } = await start();
    const before = Date.now();
    await client.request(url, 'logging/setLevel', { level: 'warning' });
    for (const uri of ['a:1', 'a:2']) await client.request(url, 'resources/subscribe', { uri });
    await client.request(url, 'resources/unsubscribe', { uri: 'a:1' });
    const info = await seen.get(sessionId);
    expect(info).toEqual({
      id: sessionId,
      state: 'active',
      clientInfo: { name: 'raw', version: '1.0.0' },
      clientCapabilities: { roots: {} },
      protocolVersion: '2025-11-25',
      createdAt: expect.any(Number) as number,
      lastSeenAt: expect.any(Number) as number,
      logLevel: 'warning',
      subscriptions: ['a:2'],
      errors: 0,
      principal: undefined,
      owner: undefined,
    });
    expect(info?.createdAt).toBeLessThanOrEqual(before);
    expect(info?.lastSeenAt).toBeGreaterThanOrEqual(before);
    expect(await seen.get(NONE)).toBeUndefined();
  });

  it('get() returns the state `initialized` until the client says that it is', async () => {
    const { b, seen } = await start();
    const client = rawClient();
    await client.initialize(b.url, { initialized: false });
    const id = String(client.sessionId);
    expect((await seen.get(id))?.state).toBe('initialized');
    await client.notify(b.url, 'notifications/initialized');
    expect((await seen.get(id))?.state).toBe('active');
  });

  it('list() returns each session once, whatever the size of the pages', async () => {
    const { url, sessionId, b, seen } = await start();
    const ids = [sessionId];
    for (const at of [url, b.url, url, b.url]) ids.push((await openSession(at)).sessionId);
    for (const pageSize of [undefined, 1, 2, 5, 6]) {
      const listed = await collect(seen.list(pageSize === undefined ? {} : { pageSize }));
      expect(listed.map(({ id }) => id).sort()).toEqual(ids.toSorted());
    }
  });

  it('events() returns both directions in one order, from any place on', async () => {
    const { client, url, sessionId, seen } = await start();
    await client.request(url, 'tools/call', { name: 'echo', arguments: { n: 1 } });
    const happened = await collect(seen.events(sessionId));
    expect(happened.map(({ type }) => type)).toEqual([
      'session.created',
      ...['message.received', 'message.sent', 'message.received'],
      'session.initialized',
      ...['message.received', 'message.sent'],
    ]);
    const all = happened.filter(({ direction }) => direction !== undefined);
    const line = ({ direction, message }: SessionEvent) =>
      `${direction} ${message !== undefined && 'method' in message ? message.method : 'answer'}`;
    expect(all.map(line)).toEqual([
      'in initialize',
      'out answer',
      'in notifications/initialized',
      'in tools/call',
      'out answer',
    ]);
    const [, second] = all;
    expect(await collect(seen.events(sessionId, { after: second?.id ?? LOG_START }))).toEqual(
      happened.slice(3),
    );
    expect(await collect(seen.events(sessionId, { limit: 3 }))).toEqual(happened.slice(0, 3));
    expect(await collect(seen.events(NONE))).toEqual([]);
    expect(all[3]?.stream).toBe(all[4]?.stream);
    expect(all[3]?.stream).not.toBe(all[0]?.stream);
  });

  it("delete() ends the session on all nodes, as the client's DELETE does", async () => {
    const { client, url, sessionId, mcp, b, seen } = await start();
    const stream = await client.listen(url);
    expect(await seen.delete(sessionId)).toBe(true);
    expect(await stream.untilEnded()).toBe('end');
    for (const at of [url, b.url])
      expect((await client.post(at, request(1, 'ping'))).status).toBe(404);
    expect(await seen.delete(sessionId)).toBe(false);
    expect(await collect(seen.list())).toEqual([]);
    expect(mcp.health()).toMatchObject({ sessions: 0, streams: 0 });
  });

  it('notify() sends to the standalone stream, at once or when there is one', async () => {
    const { client, url, handle } = await start();
    await handle.notify({ method: 'notifications/message', params: { level: 'info', data: 1 } });
    const stream = await client.listen(url);
    await handle.notify({ method: 'notifications/message', params: { level: 'info', data: 2 } });
    await stream.first(2);
    expect(stream.messages.map(({ params }) => params?.data)).toEqual([1, 2]);
  });

  it('request() asks the client wherever it listens, and takes its answer from any node', async () => {
    const { client, url, b, handle } = await start();
    const schema = z.object({ roots: z.array(z.object({ uri: z.string() })) });
    const progress: unknown[] = [];
    const arrived = signal();
    const asked = handle.request({ method: 'roots/list' }, schema, {
      onprogress: (step) => {
        progress.push(step);
        arrived.resolve();
      },
    });
    const stream = await client.listen(url);
    const { message } = await stream.next(hasMethod('roots/list'));
    const { progressToken } = message?.params?._meta as { progressToken: string };
    await client.notify(url, 'notifications/progress', { progressToken, progress: 1 });
    await arrived.promise;
    await client.respond(b.url, message?.id ?? '', { roots: [{ uri: 'file:///a' }] });
    expect(await asked).toEqual({ roots: [{ uri: 'file:///a' }] });
    expect(progress).toEqual([{ progress: 1 }]);
  });

  it('request() rejects on an error of the client, a wrong answer, no answer, and an aborted signal', async () => {
    const { client, url, handle } = await start();
    const stream = await client.listen(url);
    const ask = (options = {}) => handle.request({ method: 'ping' }, EmptyResultSchema, options);
    const next = async () => (await stream.next(hasMethod('ping'))).message?.id ?? '';

    const error = { code: -32601, message: 'no', data: { a: 1 } };
    const refused = expect(ask()).rejects.toMatchObject({ name: 'ClientError', ...error });
    await client.post(url, { jsonrpc: '2.0', id: await next(), error });
    await refused;

    const strict = handle.request({ method: 'ping' }, z.object({ a: z.string() }));
    const odd = expect(strict).rejects.toThrow(z.ZodError);
    await client.respond(url, await next(), { a: 1 });
    await odd;

    const late = expect(ask({ timeout: 20 })).rejects.toMatchObject({ code: 'request_timeout' });
    const id = await next();
    await late;
    const cancelled = await stream.next(hasMethod('notifications/cancelled'));
    expect(cancelled.message?.params).toMatchObject({ requestId: id });

    const abort = new AbortController();
    const dropped = expect(ask({ signal: abort.signal })).rejects.toThrow('enough');
    await next();
    abort.abort(new Error('enough'));
    await dropped;
  });

  it('state.update() is atomic, however many nodes call it at once', async () => {
    const { sessionId, mcp, handle } = await start();
    const here = mcp.session(sessionId);
    expect(await handle.state.get()).toBeUndefined();
    const increments = Array.from({ length: 20 }, (_, at) =>
      (at % 2 === 0 ? here : handle).state.update((value) => Number(value ?? 0) + 1),
    );
    const results = await Promise.all(increments);
    expect(await handle.state.get()).toBe(20);
    expect(results.sort((x, y) => x - y)).toEqual(Array.from({ length: 20 }, (_, at) => at + 1));
    await handle.state.set({ nested: [null, 'ä'] });
    expect(await here.state.get()).toEqual({ nested: [null, 'ä'] });
    await expect(handle.state.set(undefined)).rejects.toThrow('has to be a JSON value');
    const failing = handle.state.update(() => {
      throw new Error('mine');
    });
    await expect(failing).rejects.toThrow('mine');
    expect(await handle.state.get()).toEqual({ nested: [null, 'ä'] });
  });

  it('each call reports a session that does not exist', async () => {
    const { b } = await start();
    const none = b.mcp.session(NONE);
    const attempts = await Promise.allSettled([
      none.notify({ method: 'notifications/x' }),
      none.request({ method: 'ping' }, EmptyResultSchema),
      none.state.get(),
      none.state.set(1),
      none.state.update(() => 1),
    ]);
    expect(attempts).toMatchObject(attempts.map(() => ({ status: 'rejected', reason: GONE })));
  });
});
