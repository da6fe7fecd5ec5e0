import { once } from 'node:events';
import { Agent, createServer, request as httpRequest } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { anynode, redisBackplane } from '../../src/index.js';
import { activeResources, leftBehind } from '../support/leaks.js';
import { request } from '../support/mcp-http.js';
import { redisUrl, uniquePrefix } from '../support/redis-fixture.js';
import { scriptedServer, type ToolCall } from './support/scripted-server.js';
import { listen, mounted, openSession, startNode, startSession, STORES } from './support/serve.js';
import { eventually, signal } from './support/signal.js';

const call = (id: number, name: string) => request(id, 'tools/call', { name });

describe.each(STORES)('close(), over %s', (_, openStore) => {
  it('sends clients with a cursor away, lets calls finish, and then answers 503', async () => {
    const store = openStore();
    const [started, go] = [signal(), signal()];
    const tools = {
      wait: async () => {
        started.resolve();
        await go.promise;
        return 'done';
      },
    };
    const a = await startSession({ backplane: store(), tools });
    const b = await startNode({ backplane: store(), tools });
    const listener = await a.client.listen(a.url);
    const { sse } = await a.client.post(a.url, call(9, 'wait'));
    await started.promise;
    expect(a.mcp.health()).toMatchObject({ status: 'ready', sessions: 1, streams: 2, inFlight: 1 });

    const closed = a.mcp.close();
    expect(await listener.untilEnded()).toBe('end');
    expect(await sse.untilEnded()).toBe('end');
    expect([listener.retries.length, sse.retries.length]).toEqual([1, 1]);
    expect(a.mcp.health()).toMatchObject({ status: 'draining', inFlight: 1 });
    // Until it has closed, the node answers as before, because a balancer needs time to notice.
    expect(await a.client.request(a.url, 'ping')).toMatchObject({ result: {} });

    const resumed = await a.client.listen(b.url, { lastEventId: sse.lastEventId ?? '' });
    go.resolve();
    expect((await resumed.next()).message).toMatchObject({ id: 9, result: {} });
    await closed;

    for (const method of ['POST', 'GET', 'DELETE', 'PUT']) {
      const answer = await a.client.send(method, a.url, method === 'POST' ? '{}' : undefined);
      expect(answer).toMatchObject({ status: 503, headers: { 'retry-after': '1' } });
      expect(answer.json().error?.code).toBe(-32000);
    }
    expect(a.mcp.health()).toMatchObject({
      status: 'draining',
      sessions: 0,
      streams: 0,
      inFlight: 0,
    });
    expect(await a.client.request(b.url, 'ping')).toMatchObject({ result: {} });
    expect(a.logged).toEqual([]);
  });

  it('ends a call that runs longer than `drainMs`, without waiting for it', async () => {
    const started = signal();
    const tools = {
      wait: ({ extra }: ToolCall) =>
        new Promise<string>((_resolve, reject) => {
          extra.signal.addEventListener('abort', () => reject(new Error('aborted')));
          started.resolve();
        }),
    };
    const options = { backplane: openStore()(), tools, responseMode: 'json' as const };
    const { client, url, mcp } = await startSession(options);
    const answer = client.post(url, call(9, 'wait'));
    await started.promise;
    await mcp.close({ drainMs: 20 });
    expect((await answer).json()).toMatchObject({ id: 9, error: { code: -32000 } });
  });

  it('may be called twice, or before the node was ever ready', async () => {
    const { mcp } = await startNode({ backplane: openStore()() });
    const closing = mcp.close();
    expect(mcp.close({ drainMs: 5 })).toBe(closing);
    await closing;
    await mcp.close();

    const hasty = anynode({ server: () => scriptedServer(), backplane: openStore()() });
    await hasty.close();
    await expect(hasty.ready()).rejects.toMatchObject({ code: 'closed' });
  });

  it('rejects later calls of the handle with `closed`', async () => {
    const { mcp, sessionId } = await startSession({ backplane: openStore()() });
    await mcp.close();
    const attempts = [
      () => mcp.sessions.get(sessionId),
      () => mcp.sessions.list()[Symbol.asyncIterator]().next(),
      () => mcp.session(sessionId).state.get(),
      () => mcp.session(sessionId).notify({ method: 'notifications/x' }),
      () => mcp.notify.toolsChanged(),
    ];
    for (const attempt of attempts)
      await expect(attempt()).rejects.toMatchObject({ code: 'closed' });
  });

  it('leaves no socket, timer or listener behind', async () => {
    const store = openStore();
    // What is loaded or opened once for all is there before the first count.
    await (await startNode({ backplane: store() })).mcp.close();
    const before = activeResources();
    const listeners = () =>
      ['exit', 'SIGTERM', 'SIGINT'].map((name) => process.listenerCount(name));
    const listenersBefore = listeners();
    const { client, url, mcp } = await startSession({ backplane: store(), keepAliveMs: 5 });
    const stream = await client.listen(url);
    await stream.comment(3);
    await client.request(url, 'tools/call', { name: 'echo' });
    await mcp.close();
    client.close();
    // The HTTP servers belong to the test, and could look as if they had gone later.
    const { TCPServerWrap: _, ...left } = await leftBehind(before);
    expect(left).toEqual({});
    expect(listeners()).toEqual(listenersBefore);
  });
});

describe('health() and ready()', () => {
  it('report a backplane that cannot be reached in bounded time, and requests get 503', async () => {
    const backplane = redisBackplane({ redis: 'redis://127.0.0.1:1', prefix: uniquePrefix() });
    const logger = { warn: () => undefined, error: () => undefined };
    const options = { backplane, commandTimeoutMs: 100, logger };
    const mcp = anynode({ server: () => scriptedServer(), ...options });
    onTestFinished(() => mcp.close({ drainMs: 0 }));
    const url = await listen(mounted(mcp));
    const opening = openSession(url);
    await expect(opening).rejects.toMatchObject({ status: 503 });
    expect(mcp.health()).toMatchObject({ status: 'down', reason: expect.any(String) as string });
    await mcp.close({ drainMs: 0 });
    await expect(mcp.ready()).rejects.toMatchObject({ code: 'closed' });
  });

  it('report ready for a URL as `redis`, whose sessions another node finds', async () => {
    const options = { redis: redisUrl(), prefix: uniquePrefix() };
    const a = await startSession(options);
    const b = await startNode(options);
    expect(await a.client.request(b.url, 'ping')).toMatchObject({ result: {} });
    expect([a.mcp.health().status, b.mcp.health().status]).toEqual(['ready', 'ready']);
    expect(a.mcp.nodeId).not.toBe(b.mcp.nodeId);
  });
});

describe('anynode() throws for wrong options', () => {
  it.each([
    [{ sever: 1 }, 'unknown option `sever`'],
    [{ affinity: 'one' }, "`affinity` is \"one\", but can only be 'any' or 'owner'"],
    [{ recovery: 'rerun' }, '`recovery` is "rerun", but can only be'],
    [{ leaseMs: -1 }, '`leaseMs` has to be a whole number of at least 0, and is -1'],
    [{ retention: { maxEvents: 0 } }, '`retention.maxEvents` must be more than 0'],
    [{ server: scriptedServer() }, '`server` has to be a function that returns an MCP server'],
  ])('%j', (options, message) => {
    const make = () => anynode({ server: () => scriptedServer(), ...(options as object) });
    expect(make).toThrow(TypeError);
    expect(make).toThrow(`mcp-anynode: ${message}`);
  });
});

describe('close({ server })', () => {
  it('stops listening, answers running calls with `Connection: close`, and ends the connections', async () => {
    const [running, finish] = [signal(), signal<string>()];
    const mcp = anynode({
      responseMode: 'json',
      server: () =>
        scriptedServer({
          hold: () => {
            running.resolve();
            return finish.promise;
          },
        }),
    });
    const server = createServer(mcp.listener).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const url = `http://127.0.0.1:${port}/mcp`;
    const { client } = await openSession(url);
    const agent = new Agent({ keepAlive: true });
    onTestFinished(() => agent.destroy());
    // A connection that stays open, like one of a balancer.
    const before = await ping(agent, url, client.sessionId);
    expect(before).toMatchObject({ status: 200, connection: 'keep-alive' });
    const held = client.request(url, 'tools/call', { name: 'hold', arguments: {} });
    await running.promise;
    const ended = once(server, 'close');
    const closed = mcp.close({ server });
    await eventually(() => !server.listening);
    await expect(openSession(url)).rejects.toThrow('ECONNREFUSED');
    finish.resolve('done');
    expect((await held).result).toMatchObject({ content: [{ text: 'done' }] });
    await Promise.all([closed, ended]);
  });

  it('answers with `Connection: close` from its start on, and keeps connections open before', async () => {
    const { mcp, url } = await startNode({
      responseMode: 'json',
      tools: { hold: () => new Promise<string>(() => undefined) },
    });
    const { client } = await openSession(url);
    const agent = new Agent({ keepAlive: true });
    onTestFinished(() => agent.destroy());
    expect((await ping(agent, url, client.sessionId)).connection).toBe('keep-alive');
    const held = client.request(url, 'tools/call', { name: 'hold', arguments: {} });
    await eventually(() => mcp.health().inFlight === 1);
    const closed = mcp.close({ drainMs: 1000 });
    const answer = await ping(agent, url, client.sessionId);
    expect(answer).toMatchObject({ status: 200, connection: 'close' });
    await Promise.all([closed, held.catch(() => undefined)]);
  });
});

function ping(
  agent: Agent,
  url: string,
  sessionId = '',
): Promise<{ status: number | undefined; connection: string | undefined }> {
  const headers = {
    'content-type': 'application/json',
    accept: 'application/json, text/event-stream',
    'mcp-session-id': sessionId,
  };
  return new Promise((resolve, reject) => {
    const sent = httpRequest(url, { method: 'POST', agent, headers }, (res) => {
      res.resume().once('end', () => {
        resolve({ status: res.statusCode, connection: res.headers.connection });
      });
    });
    sent.once('error', reject);
    sent.end(JSON.stringify(request(`ping-${Math.random()}`, 'ping')));
  });
}
