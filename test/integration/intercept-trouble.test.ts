/** Servers behind HTTP that lose sessions, fall, stall, cut connections and refuse. */
import type { ServerResponse } from 'node:http';
import { describe, expect, it } from 'vitest';
import { request } from '../support/mcp-http.js';
import { fallible } from './support/fallible.js';
import { newGate } from './support/gate.js';
import { mapEndpoint } from './support/map-endpoint.js';
import { mounted, openSession, rawClient, startNode } from './support/serve.js';
import { startIntercepted, WAYS } from './support/intercepted.js';

const call = (name: string, args = {}) => ({ name, arguments: args });

describe.each(WAYS)('as %s', (way) => {
  it.each([404, 400] as const)(
    'a session that the handler has lost (%i) is made again with its state, and the call runs once',
    async (unknown) => {
      let runs = 0;
      const { handler, transports } = mapEndpoint({
        unknown,
        welcome: (server) =>
          void server.sendLoggingMessage({ level: 'emergency', data: 'welcome' }),
        tools: {
          run: async ({ server, extra }) => {
            runs += 1;
            await server.sendLoggingMessage({ level: 'info', data: 'low' }, extra.sessionId);
            await server.sendLoggingMessage({ level: 'error', data: 'high' }, extra.sessionId);
            return 'ran';
          },
        },
      });
      const node = await startIntercepted(way, handler);
      const { client } = await openSession(node.url);
      const listener = await client.listen(node.url);
      await listener.first(1);
      await client.request(node.url, 'logging/setLevel', { level: 'error' });
      for (const transport of transports.values()) await transport.close();
      transports.clear();
      const answer = await client.request(node.url, 'tools/call', call('run'));
      expect(answer).toMatchObject({ result: { content: [{ text: 'ran' }] } });
      expect(runs).toBe(1);
      await listener.first(2);
      // The log level is the same, and what the new session said at its beginning is not shown again.
      expect(listener.messages.map(({ params }) => params?.data)).toEqual(['welcome', 'high']);
      expect(transports.size).toBe(1);
      expect(node.logged).toHaveLength(1);
    },
  );

  it('a call whose stream is cut without a cursor ends with an error that says so', async () => {
    const { handler } = mapEndpoint();
    const node = await startIntercepted(way, (req, res, next) => {
      if (req.header('x-cut') === undefined) {
        handler(req, res, next);
        return;
      }
      res.writeHead(200, { 'content-type': 'text/event-stream' });
      res.write(': it begins\n\n', () => res.destroy());
    });
    const { client } = await openSession(node.url);
    const cut = request(1, 'tools/call', call('echo'));
    const answer = await client.post(node.url, cut, { headers: { 'x-cut': '1' } });
    expect((await answer.answer(1)).error).toEqual({
      code: -32000,
      message: 'The connection to the server broke before it answered',
      data: { reason: 'server_lost' },
    });
  });

  it.each(['json', 'sse'])('a message of 20 MB passes (%s)', async (kind) => {
    const { handler } = mapEndpoint({
      json: kind === 'json',
      tools: { big: () => 'x'.repeat(20_000_000) },
    });
    const node = await startIntercepted(way, handler);
    const { client } = await openSession(node.url);
    const { result } = await client.request(node.url, 'tools/call', call('big'));
    expect(JSON.stringify(result).length).toBeGreaterThan(20_000_000);
  });

  it('a refusal of the handler is passed on for initialize, and becomes an error for a call', async () => {
    const { handler } = mapEndpoint();
    const node = await startIntercepted(way, (req, res, next) => {
      if (req.header('authorization') === 'Bearer good') {
        handler(req, res, next);
        return;
      }
      res.set('WWW-Authenticate', 'Bearer resource_metadata="https://x"');
      res.status(401).json({ error: 'invalid_token' });
    });
    const stranger = rawClient();
    const params = {
      ...{ protocolVersion: '2025-11-25', capabilities: {} },
      clientInfo: { name: 'raw', version: '1' },
    };
    const refused = await stranger.post(node.url, request(1, 'initialize', params));
    expect(refused.status).toBe(401);
    expect(refused.headers['www-authenticate']).toBe('Bearer resource_metadata="https://x"');
    expect(refused.headers['mcp-session-id']).toBeUndefined();
    expect(JSON.parse(refused.body)).toEqual({ error: 'invalid_token' });

    const { client } = await openSession(node.url, { headers: { authorization: 'Bearer good' } });
    const bad = { headers: { authorization: 'Bearer bad' } };
    const answer = await client.post(node.url, request('b', 'tools/call', call('echo')), bad);
    expect((await answer.answer('b')).error).toEqual({
      code: -32000,
      message: 'The server refused the request',
      data: { reason: 'server_refused', status: 401 },
    });
    expect((await client.request(node.url, 'tools/call', call('echo'))).result).toBeDefined();
  });

  it('an answer that is not MCP becomes an error', async () => {
    const node = await startIntercepted(way, (_req, res) => void res.send('<p>hello</p>'));
    const answer = await rawClient().post(
      node.url,
      request(1, 'initialize', {
        ...{ protocolVersion: '2025-11-25', capabilities: {} },
        clientInfo: { name: 'raw', version: '1' },
      }),
    );
    expect(answer.status).toBe(502);
    expect(JSON.parse(answer.body)).toMatchObject({
      id: 1,
      error: { code: -32000, data: { reason: 'server_invalid' } },
    });
  });
});

describe('a server at a URL', () => {
  it('that is down gives 503 for initialize and an error for a call, and all goes on when it is back', async () => {
    const first = mapEndpoint();
    const server = await fallible(mounted(first.handler));
    const node = await startNode({ server: undefined, upstream: server.url });
    const { client } = await openSession(node.url);
    const listener = await client.listen(node.url);
    await server.kill();
    const down = await rawClient().post(
      node.url,
      request(1, 'initialize', {
        ...{ protocolVersion: '2025-11-25', capabilities: {} },
        clientInfo: { name: 'raw', version: '1' },
      }),
    );
    expect(down.status).toBe(503);
    expect(down.headers['retry-after']).toBe('1');
    expect(JSON.parse(down.body)).toMatchObject({
      error: { code: -32000, data: { reason: 'server_unreachable' } },
    });
    expect(down.headers['mcp-session-id']).toBeUndefined();
    const failed = await client.request(node.url, 'tools/call', call('echo'));
    expect(failed.error).toEqual({
      code: -32000,
      message: 'The server cannot be reached; the request was not sent',
      data: { reason: 'server_unreachable' },
    });
    // The restarted server knows no session. The node makes it again with its GET stream, without a request of the
    // client.
    const second = mapEndpoint({
      tools: {
        tell: async ({ server, extra }) => {
          await server.sendLoggingMessage({ level: 'info', data: 'again' }, extra.sessionId);
          return 'told';
        },
      },
    });
    await server.restart(mounted(second.handler));
    await expect.poll(() => second.transports.size, { timeout: 10_000 }).toBe(1);
    const told = await client.request(node.url, 'tools/call', call('tell'));
    expect(told).toMatchObject({ result: { content: [{ text: 'told' }] } });
    expect((await listener.next()).message?.params).toMatchObject({ data: 'again' });
    expect(second.transports.size).toBe(1);
    const texts = node.logged.filter((line) => line.includes('http://127.0.0.1'));
    expect(texts).toHaveLength(1);
    expect(node.informed).toEqual([expect.stringContaining('is reached again')]);
  });

  it('that is down when a replica has to be built ends the call with an error that says so', async () => {
    const server = await fallible(mounted(mapEndpoint().handler));
    const node = await startNode({ server: undefined, upstream: server.url, replicaIdleMs: 250 });
    const { client } = await openSession(node.url);
    await expect.poll(() => node.mcp.health().sessions).toBe(0);
    await server.kill();
    const { error } = await client.request(node.url, 'tools/call', call('echo'));
    expect(error).toMatchObject({ code: -32000, data: { reason: 'server_unreachable' } });
    await server.restart(mounted(mapEndpoint().handler));
    expect((await client.request(node.url, 'tools/call', call('echo'))).result).toBeDefined();
  });

  it('that falls during a call ends it with an error, and the call does not run twice', async () => {
    let runs = 0;
    const running = newGate();
    const tools = {
      hold: () => {
        runs += 1;
        running.open();
        return new Promise<string>(() => undefined);
      },
    };
    const server = await fallible(mounted(mapEndpoint({ tools }).handler));
    const node = await startNode({ server: undefined, upstream: server.url });
    const { client } = await openSession(node.url);
    const held = client.request(node.url, 'tools/call', call('hold'));
    await running.opened;
    await server.kill();
    await server.restart(mounted(mapEndpoint({ tools }).handler));
    expect((await held).error).toMatchObject({ code: -32000, data: { reason: 'server_lost' } });
    expect(runs).toBe(1);
    expect((await client.request(node.url, 'tools/call', call('echo'))).result).toBeDefined();
  });

  it('that answers late is waited for, however short the time limit for connecting is', async () => {
    const { handler } = mapEndpoint({
      tools: { slow: () => new Promise((resolve) => setTimeout(() => resolve('late'), 2_500)) },
    });
    const server = await fallible(mounted(handler));
    const options = { server: undefined, upstream: server.url, upstreamTimeoutMs: 1_000 };
    const node = await startNode(options);
    const { client } = await openSession(node.url);
    const { result } = await client.request(node.url, 'tools/call', call('slow'));
    expect(result).toMatchObject({ content: [{ text: 'late' }] });
  });

  it('keeps no connection when the node has closed', async () => {
    const open = new Set<ServerResponse>();
    const { handler, transports } = mapEndpoint();
    const server = await fallible(
      mounted((req, res, next) => {
        open.add(res);
        res.once('close', () => open.delete(res));
        handler(req, res, next);
      }),
    );
    const node = await startNode({ server: undefined, upstream: server.url });
    const { client } = await openSession(node.url);
    await client.request(node.url, 'tools/call', call('echo'));
    await expect.poll(() => open.size).toBe(1); // the GET stream
    await node.mcp.close({ drainMs: 0 });
    expect(transports.size).toBe(0);
    await expect.poll(() => open.size).toBe(0);
    const connections = (): Promise<number> =>
      new Promise((resolve) => server.server.getConnections((_, count) => resolve(count)));
    await expect.poll(connections).toBe(0);
  });
});
