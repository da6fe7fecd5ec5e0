import express from 'express';
import { describe, expect, it, onTestFinished } from 'vitest';
import { z } from 'zod';
import { anynode } from '../../src/index.js';
import { legacySse } from '../../src/legacy-sse/index.js';
import type { SessionInfo } from '../../src/index.js';
import type { LegacySseOptions } from '../../src/legacy-sse/index.js';
import { connectLegacy } from '../support/legacy-client.js';
import {
  answers,
  notification,
  request,
  type RawClient,
  type SseReader,
} from '../support/mcp-http.js';
import type { NodeOptions } from './support/serve.js';
import { listen, openSession, rawClient, STORES, type OpenStore } from './support/serve.js';
import { announce, say, scriptedServer, type Tools } from './support/scripted-server.js';
import { eventually, signal } from './support/signal.js';

/** Starts a node with both transports: `/mcp`, and `/sse` with `/messages`. */
async function startLegacy(options: NodeOptions & { paths?: LegacySseOptions; at?: string } = {}) {
  const { tools, mount: _, paths, at = '/', ...given } = options;
  const logged: string[] = [];
  const log = (text: string): void => void logged.push(text);
  const mcp = anynode({
    server: () => scriptedServer(tools),
    logger: { warn: log, error: log },
    ...given,
  });
  const app = express();
  app.use((req, _res, next) => {
    const token = req.headers.authorization;
    if (token !== undefined) Object.assign(req, { auth: { token, clientId: token, scopes: [] } });
    next();
  });
  app.use('/mcp', mcp);
  app.use(at, legacySse(mcp, paths));
  const url = new URL(await listen(app)).origin;
  onTestFinished(() => mcp.close({ drainMs: 0 }));
  await mcp.ready();
  return { mcp, url, sse: `${url}/sse`, logged };
}

/** Starts two nodes on one store. */
async function pair(openStore: OpenStore, options: NodeOptions = {}) {
  const store = openStore();
  return [
    await startLegacy({ backplane: store(), ...options }),
    await startLegacy({ backplane: store(), ...options }),
  ] as const;
}

const INITIALIZE = {
  ...{ protocolVersion: '2024-11-05', capabilities: {} },
  clientInfo: { name: 'raw', version: '1' },
};

/** Opens a connection by hand. `address` is where the client is told to POST to. */
async function openRaw(
  url: string,
  options?: { headers?: Record<string, string> },
): Promise<{ client: RawClient; stream: SseReader; address: string }> {
  const client = rawClient();
  const stream = await client.listen(`${url}/sse`, options);
  const { event, data } = await stream.next();
  expect(event).toBe('endpoint');
  return { client, stream, address: `${url}${data}` };
}

const tools: Tools = {
  talk: async ({ extra, server }) => {
    await say(extra, 'of the call');
    await announce(server, 'of no call');
    return 'talked';
  },
  ask: async ({ extra, server }) => {
    const params = {
      message: 'who?',
      requestedSchema: { type: 'object' as const, properties: {} },
    };
    const { content } = await server.elicitInput(params, { relatedRequestId: extra.requestId });
    return JSON.stringify(content);
  },
  sample: async ({ server }) => {
    const content = { type: 'text' as const, text: 'say' };
    const messages = [{ role: 'user' as const, content }];
    const { content: said } = await server.createMessage({ messages, maxTokens: 1 });
    return JSON.stringify(said);
  },
  steps: async ({ extra }) => {
    const progressToken = extra._meta?.progressToken ?? '';
    for (const progress of [1, 2, 3]) {
      const params = { progressToken, progress };
      await extra.sendNotification({ method: 'notifications/progress', params });
    }
    return 'stepped';
  },
};

describe.each(STORES)('HTTP+SSE over %s', (_, openStore) => {
  it('serves the official client on one node', async () => {
    const node = await startLegacy({ backplane: openStore()(), tools });
    const { client, call, heard, posted } = await connectLegacy(node.sse);
    expect(client.getServerVersion()).toEqual({ name: 'scripted', version: '1.0.0' });
    expect(await call('echo', { a: 1 })).toBe('{"a":1}');
    expect(await call('talk')).toBe('talked');
    expect(heard).toEqual(['of the call', 'of no call']);
    expect(await call('ask')).toBe('{"name":"answer to who?"}');
    expect(await call('sample')).toContain('sampled');
    await client.ping();
    expect(new Set(posted)).toEqual(new Set([202]));
    expect(node.logged).toEqual([]);
  });

  // Bug: the name of a stream begins otherwise than with Streamable HTTP, and the wrong part was taken for the node.
  it('names the node that each request of a client reached', async () => {
    const [a, b] = await pair(openStore, { tools });
    const { call, sessionId } = await connectLegacy(a.sse, { postTo: () => b.url });
    await call('echo', {});
    const requests: (string | undefined)[] = [];
    for await (const event of a.mcp.sessions.events(sessionId(), { method: 'tools/call' })) {
      requests.push(event.nodeId);
    }
    expect(requests).toEqual([b.mcp.nodeId]);
  });

  it('shows the answers to POSTs on another node on the one connection', async () => {
    const [a, b] = await pair(openStore, { tools });
    const { call, heard, sessionId } = await connectLegacy(a.sse, { postTo: () => b.url });
    expect(await call('talk')).toBe('talked');
    expect(await call('ask')).toBe('{"name":"answer to who?"}');
    expect(await call('sample')).toContain('sampled');
    expect(a.mcp.health()).toMatchObject({ sessions: 0, streams: 1 });
    // The answer from the other node may arrive before this node is told that it is stored.
    await expect.poll(() => b.mcp.health()).toMatchObject({ sessions: 1, streams: 0, inFlight: 0 });

    await a.mcp.notify.toolsChanged();
    await b.mcp.session(sessionId()).notify({
      method: 'notifications/message',
      params: { level: 'info', data: 'from anywhere' },
    });
    await eventually(() => heard.length === 4);
    expect(heard).toEqual(['of the call', 'of no call', 'tools', 'from anywhere']);
    const asked = b.mcp.session(sessionId()).request({ method: 'ping' }, z.unknown());
    expect(await asked).toEqual({});
    expect([...a.logged, ...b.logged]).toEqual([]);
  });

  it('shows progress before the answer, in order', async () => {
    const [a, b] = await pair(openStore, { tools });
    const { client, stream, address } = await openRaw(a.url);
    const params = { name: 'steps', _meta: { progressToken: 't' } };
    const call = request(1, 'tools/call', params);
    (await client.post(address.replace(a.url, b.url), call)).expect(202);
    await stream.next(answers(1));
    expect(stream.messages.map((message) => message.params?.['progress'] ?? message.id)).toEqual([
      ...[1, 2, 3],
      1,
    ]);
  });

  it('applies a log level that was set on one node on the other', async () => {
    const logs: Tools = {
      log: async ({ server, extra }) => {
        await server.sendLoggingMessage({ level: 'info', data: 'info' }, extra.sessionId);
        await server.sendLoggingMessage({ level: 'error', data: 'error' }, extra.sessionId);
        return '';
      },
    };
    const [a, b] = await pair(openStore, { tools: logs });
    let node = b;
    const { client, call, heard } = await connectLegacy(a.sse, { postTo: () => node.url });
    await client.setLoggingLevel('error');
    await call('log');
    node = a;
    await call('log');
    expect(heard).toEqual(['error', 'error']);
  });

  it('tells the factory who the client is, and rehydrates later servers', async () => {
    const built: [string, boolean, string][] = [];
    const server = ({ session, rehydrated }: { session: SessionInfo; rehydrated: boolean }) => {
      built.push([session.clientInfo.name, rehydrated, session.protocolVersion]);
      return scriptedServer();
    };
    const [a, b] = await pair(openStore, { server });
    let node = b;
    const { client, sessionId, call } = await connectLegacy(a.sse, { postTo: () => node.url });
    node = a;
    await call('echo');
    const version = built[0]?.[2];
    expect(built).toEqual([
      ['legacy', false, version],
      ['legacy', true, version],
    ]);
    expect(await a.mcp.sessions.get(sessionId())).toMatchObject({
      ...{ state: 'active', clientInfo: { name: 'legacy' }, protocolVersion: version },
    });
    await client.close();
  });

  it('negotiates 2024-11-05, and answers a second `initialize` with an error', async () => {
    const [a, b] = await pair(openStore);
    const { client, stream, address } = await openRaw(a.url);
    const elsewhere = address.replace(a.url, b.url);
    const posted = await client.post(elsewhere, request(0, 'initialize', INITIALIZE));
    expect(posted.expect(202).body).toBe('Accepted');
    const { event, id, message } = await stream.next();
    expect([event, id]).toEqual(['message', undefined]);
    expect(message).toMatchObject({ id: 0, result: { protocolVersion: '2024-11-05' } });
    for (const url of [address, elsewhere]) {
      (await client.post(url, request(url, 'initialize', INITIALIZE))).expect(202);
      expect((await stream.next()).message).toMatchObject({
        ...{ id: url, error: { message: 'Invalid Request: Server already initialized' } },
      });
    }
  });

  it('serves a client that sends no `initialize` on a new connection, as the SDK does', async () => {
    // The client's event source has connected again after the connection broke, and the client does not know.
    const [a, b] = await pair(openStore);
    const { client, stream, address } = await openRaw(a.url);
    const call = request(1, 'tools/call', { name: 'echo', arguments: {} });
    (await client.post(address.replace(a.url, b.url), call)).expect(202);
    expect((await stream.next()).message).toMatchObject({ id: 1, result: {} });
    // The server that exists already is told who the client is.
    (await client.post(address, request(2, 'initialize', INITIALIZE))).expect(202);
    (await client.post(address, notification('notifications/initialized'))).expect(202);
    expect((await stream.next()).message).toMatchObject({ id: 2, result: {} });
    const again = { ...call, id: 3 };
    (await client.post(address.replace(a.url, b.url), again)).expect(202);
    expect((await stream.next()).message).toMatchObject({ id: 3, result: {} });
    expect([...a.logged, ...b.logged]).toEqual([]);
  });

  it('ends the session with its connection, and aborts a call that runs on another node', async () => {
    const [started, aborted] = [signal(), signal()];
    const stay: Tools = {
      stay: ({ extra }) => {
        started.resolve();
        return new Promise((_resolve, reject) => {
          extra.signal.addEventListener('abort', () => {
            aborted.resolve();
            reject(new Error('aborted'));
          });
        });
      },
    };
    const [a, b] = await pair(openStore, { tools: stay });
    const { client, call, sessionId } = await connectLegacy(a.sse, { postTo: () => b.url });
    const called = call('stay').catch(() => 'gone');
    await started.promise;
    await client.close();
    await aborted.promise;
    await called;
    await eventually(async () => (await b.mcp.sessions.get(sessionId())) === undefined);
    const url = `${b.url}/messages?sessionId=${sessionId()}`;
    (await rawClient().post(url, request(9, 'ping'))).expect(404);
    await eventually(() => b.mcp.health().inFlight === 0 && b.mcp.health().sessions === 0);
    expect(a.mcp.health()).toMatchObject({ streams: 0 });
  });

  it('ends the connection after `sessions.delete` on any node', async () => {
    const [a, b] = await pair(openStore);
    const { client, stream, address } = await openRaw(a.url);
    const id = new URL(address).searchParams.get('sessionId') ?? '';
    expect(await b.mcp.sessions.delete(id)).toBe(true);
    expect(await stream.untilEnded()).toBe('end');
    (await client.post(address, request(1, 'ping'))).expect(404);
  });

  it('ends a cancelled call without an answer, on whichever node it is cancelled', async () => {
    const [started, aborted] = [signal(), signal()];
    const stay: Tools = {
      stay: ({ extra }) => {
        started.resolve();
        return new Promise((_resolve, reject) => {
          extra.signal.addEventListener('abort', () => {
            aborted.resolve();
            reject(new Error('aborted'));
          });
        });
      },
    };
    const [a, b] = await pair(openStore, { tools: stay, responseMode: 'json' });
    const { client, stream, address } = await openRaw(a.url);
    (await client.post(address, request(0, 'tools/call', { name: 'stay' }))).expect(202);
    await started.promise;
    const params = { requestId: 0 };
    const cancelled = notification('notifications/cancelled', params);
    (await client.post(address.replace(a.url, b.url), cancelled)).expect(202);
    await aborted.promise;
    // Its id is free again, and no answer has come.
    await eventually(async () => (await client.post(address, request(0, 'ping'))).status === 202);
    expect((await stream.next()).message).toEqual({ jsonrpc: '2.0', id: 0, result: {} });
  });

  it('refuses an id that is in use on the other node, too', async () => {
    const [started, go] = [signal(), signal()];
    const stay: Tools = {
      stay: async () => {
        started.resolve();
        await go.promise;
        return 'done';
      },
    };
    const [a, b] = await pair(openStore, { tools: stay });
    const { client, stream, address } = await openRaw(a.url);
    (await client.post(address, request(7, 'tools/call', { name: 'stay' }))).expect(202);
    await started.promise;
    (await client.post(address.replace(a.url, b.url), request(7, 'ping'))).expect(400);
    go.resolve();
    expect((await stream.next()).message).toMatchObject({ id: 7, result: {} });
  });

  it('refuses another principal, and another transport', async () => {
    const [a, b] = await pair(openStore);
    const alice = { headers: { authorization: 'alice' } };
    const { client, address } = await openRaw(a.url, alice);
    const elsewhere = address.replace(a.url, b.url);
    const ping = request(1, 'ping');
    (await client.post(elsewhere, ping)).expect(404);
    (await client.post(elsewhere, ping, { headers: { authorization: 'bob' } })).expect(404);
    (await client.post(elsewhere, ping, alice)).expect(202);

    const id = new URL(address).searchParams.get('sessionId') ?? '';
    const headers = { ...alice.headers, 'mcp-session-id': id };
    (await client.post(`${a.url}/mcp`, ping, { headers })).expect(404);
    (await client.get(`${a.url}/mcp`, { headers })).expect(404);
    (await client.delete(`${a.url}/mcp`, { headers })).expect(404);
    const streamable = await openSession(`${a.url}/mcp`);
    const wrong = `${a.url}/messages?sessionId=${streamable.sessionId}`;
    (await client.post(wrong, ping)).expect(404);
  });

  it('waits with closing for calls of its connections on other nodes, and then ends the connections', async () => {
    const [started, go] = [signal(), signal()];
    const stay: Tools = {
      stay: async () => {
        started.resolve();
        await go.promise;
        return 'done';
      },
    };
    const [a, b] = await pair(openStore, { tools: stay });
    const { client, stream, address } = await openRaw(a.url);
    const call = request(1, 'tools/call', { name: 'stay' });
    (await client.post(address.replace(a.url, b.url), call)).expect(202);
    await started.promise;
    const idle = await openRaw(a.url);
    const closed = a.mcp.close();
    expect(await idle.stream.untilEnded()).toBe('end');
    expect(idle.stream.retries).toHaveLength(1);
    expect(stream.endedBy).toBeUndefined();
    go.resolve();
    expect((await stream.next()).message).toMatchObject({ id: 1, result: {} });
    expect(await stream.untilEnded()).toBe('end');
    await closed;
    (await client.post(address.replace(a.url, b.url), request(2, 'ping'))).expect(404);
    (await client.get(a.sse)).expect(503);
    // The client's event source connects to another node, as after the end of any server.
    expect((await openRaw(b.url)).address).not.toBe(address);
  });

  it('limits sessions that were never used', async () => {
    const limits = { anonymousPending: 2 };
    const node = await startLegacy({ backplane: openStore()(), limits });
    const first = await openRaw(node.url);
    await openRaw(node.url);
    (await rawClient().get(node.sse)).expect(429);
    first.stream.close();
    await eventually(async () => (await rawClient().get(node.sse)).status === 200, 5_000);
  });
});

describe('legacySse()', () => {
  it('tells clients the path that it is mounted at, and passes other requests on', async () => {
    const paths = { ssePath: '/events', messagesPath: '/say' };
    const { url } = await startLegacy({ paths, at: '/old' });
    const client = rawClient();
    const stream = await client.listen(`${url}/old/events`);
    expect((await stream.next()).data).toMatch(/^\/old\/say\?sessionId=[\w-]{36}$/);
    (await client.get(`${url}/old/sse`)).expect(404);
    const wrong = await client.post(`${url}/old/events`, request(1, 'ping'));
    expect(wrong.expect(405).headers.allow).toBe('GET');
    expect((await client.get(`${url}/old/say`)).expect(405).headers.allow).toBe('POST');
  });

  it('refuses requests that it cannot serve', async () => {
    const { url, mcp } = await startLegacy({ maxBodyBytes: 1000, allowedHosts: ['127.0.0.1'] });
    const { client, address } = await openRaw(url);
    const ping = request(1, 'ping');
    (await client.post(`${url}/messages`, ping)).expect(400);
    (await client.post(`${url}/messages?sessionId=unknown`, ping)).expect(404);
    (await client.post(`${url}/messages?sessionId={}`, ping)).expect(404);
    (await client.post(address, request(1, 'x', { text: 'x'.repeat(1000) }))).expect(413);
    (await client.send('POST', address, '{}', { headers: { 'content-type': 'a/b' } })).expect(415);
    (await client.send('POST', address, 'no JSON')).expect(400);
    (await client.send('POST', address, '{}')).expect(400);
    const foreign = { headers: { host: 'evil.example' } };
    (await client.get(`${url}/sse`, foreign)).expect(403);
    (await client.post(address, ping, foreign)).expect(403);
    const answer = (await client.post(address, ping)).expect(202);
    expect(answer.headers['x-anynode-node']).toBe(mcp.nodeId);
  });

  it('keeps an idle connection alive, whatever its age', async () => {
    const { url } = await startLegacy({ keepAliveMs: 20, maxStreamAgeMs: 30 });
    const { stream } = await openRaw(url);
    await stream.comment(5);
    expect(stream.endedBy).toBeUndefined();
  });

  it('throws if it is given no handle, or malformed paths', () => {
    expect(() => legacySse(express())).toThrow('`legacySse` needs what `anynode()` has returned');
    const mcp = anynode({ server: () => scriptedServer() });
    onTestFinished(() => mcp.close({ drainMs: 0 }));
    expect(() => legacySse(mcp, { ssePath: 'sse' })).toThrow('`ssePath` has to be a path');
  });
});
