/** What clients of 2026-07-28 may send, and what becomes of it on a mount that serves both eras. */
import { request as httpRequest } from 'node:http';
import { toNodeHandler } from '@modelcontextprotocol/node';
import {
  createMcpHandler,
  isLegacyRequest,
  McpServer,
  type ServerContext,
} from '@modelcontextprotocol/server';
import express from 'express';
import { describe, expect, it, onTestFinished } from 'vitest';
import { z } from 'zod';
import type { AnynodeOptions, Backplane } from '../../src/index.js';
import { anynode, memoryBackplane } from '../../src/index.js';
import { META, modernHeaders, postModern, subscribe } from '../support/modern-http.js';
import { notification, request, type Headers } from '../support/mcp-http.js';
import { redisUrl, uniquePrefix } from '../support/redis-fixture.js';
import { startTcpProxy } from '../support/tcp-proxy.js';
import { mapEndpoint } from './support/map-endpoint.js';
import { listen, openSession, rawClient, startNode } from './support/serve.js';

type Tool = (context: ServerContext) => string | Promise<string>;

const capabilities = { tools: { listChanged: true }, resources: { subscribe: true } };

function modernServer(tools: Record<string, Tool> = {}): McpServer {
  const server = new McpServer({ name: 'modern', version: '1' }, { capabilities });
  for (const [name, tool] of Object.entries(tools)) {
    server.registerTool(name, { inputSchema: z.looseObject({}) }, async (_, context) => ({
      content: [{ type: 'text', text: await tool(context) }],
    }));
  }
  return server;
}

function modernOf(
  tools: Record<string, Tool> = {},
  built: () => void | Promise<void> = () => undefined,
): AnynodeOptions['modern'] {
  const build = async (): Promise<McpServer> => {
    await built();
    return modernServer(tools);
  };
  return ({ bus }) => ({
    handler: createMcpHandler(build, { bus, legacy: 'reject', keepAliveMs: 0 }),
    isLegacyRequest,
  });
}

const listing = request(1, 'tools/list', { _meta: META });
const meta = (more: object): object => request(1, 'tools/list', { _meta: { ...META, ...more } });
const version = 'io.modelcontextprotocol/protocolVersion';

describe('is answered as by the handler of the SDK alone', () => {
  const cases: [string, unknown, Headers?][] = [
    ['server/discover', request(1, 'server/discover', { _meta: META })],
    ['a list', listing],
    [
      'a list, of a client that names a session that is gone',
      listing,
      { 'mcp-session-id': 'gone' },
    ],
    ['a list, of a client that names what is no session', listing, { 'mcp-session-id': '{a b}' }],
    ['an unknown method', request(1, 'tools/none', { _meta: META })],
    [
      'a version of the future',
      meta({ [version]: '2099-01-01' }),
      { 'mcp-protocol-version': '2099-01-01' },
    ],
    [
      'a version of the past',
      meta({ [version]: '2025-11-25' }),
      { 'mcp-protocol-version': '2025-11-25' },
    ],
    ['another version in the header', listing, { 'mcp-protocol-version': '2099-01-01' }],
    ['no version in the header', listing, { 'mcp-protocol-version': undefined }],
    ['no method in the header', listing, { 'mcp-method': undefined }],
    ['another method in the header', listing, { 'mcp-method': 'prompts/list' }],
    ['the header alone', request(1, 'tools/list')],
    ['broken metadata', meta({ 'io.modelcontextprotocol/clientCapabilities': 1 })],
    ['a batch', [listing, listing]],
    ['a notification', notification('notifications/cancelled', { requestId: 1, _meta: META })],
    ['an unknown tool', request(1, 'tools/call', { name: 'none', _meta: META })],
    ['another era’s method', request(1, 'ping', { _meta: META })],
  ];

  it.each(cases)('%s', async (_name, message, headers = {}) => {
    const node = await startNode({ modern: modernOf({ hello: () => 'hello' }) });
    const handler = toNodeHandler(createMcpHandler(() => modernServer({ hello: () => 'hello' })));
    const bare = await listen(express().use('/mcp', (req, res) => void handler(req, res)));
    const { method, params } = [message].flat()[0] as { method: string; params?: object };
    const options = { headers: { ...modernHeaders(method, params), ...headers } };
    const client = rawClient();
    const ours = await client.send('POST', node.url, JSON.stringify(message), options);
    const theirs = await client.send('POST', bare, JSON.stringify(message), options);
    expect([ours.status, ours.body]).toEqual([theirs.status, theirs.body]);
    expect(ours.headers['content-type']).toBe(theirs.headers['content-type']);
    expect(ours.headers['mcp-session-id']).toBeUndefined();
    expect(ours.node).toBe(node.mcp.nodeId);
    expect(node.logged).toEqual([]);
  });
});

it('a session is none the worse for a request of the other era that carries its id', async () => {
  const { url } = await startNode({ modern: modernOf() });
  const { client, sessionId } = await openSession(url);
  const headers = { 'mcp-session-id': sessionId };
  expect((await postModern(client, url, 'a', 'tools/list', {}, headers)).status).toBe(200);
  const mixed = await client.post(url, request('b', 'tools/list'), {
    headers: modernHeaders('tools/list'),
  });
  expect(mixed.expect(400).json().error).toMatchObject({ code: -32602 });
  expect(await client.request(url, 'tools/list')).toMatchObject({ result: {} });
});

it('both eras are told who is calling', async () => {
  const before = [
    (req: express.Request, _res: express.Response, next: express.NextFunction) => {
      Object.assign(req, { auth: { token: 't', clientId: 'ada', scopes: ['read'] } });
      next();
    },
  ];
  const { url } = await startNode({
    tools: { who: ({ extra }) => extra.authInfo?.clientId ?? 'nobody' },
    modern: modernOf({ who: ({ http }) => http?.authInfo?.clientId ?? 'nobody' }),
    mount: { before },
  });
  const who = { name: 'who', arguments: {} };
  const { client } = await openSession(url);
  const content = [{ type: 'text', text: 'ada' }];
  expect(await client.request(url, 'tools/call', who)).toMatchObject({ result: { content } });
  const answer = await postModern(rawClient(), url, 1, 'tools/call', who);
  expect(answer.expect(200).json()).toMatchObject({ result: { content } });
});

// The body had been read to see which era it is of, and was left where a parser leaves it: handlers took a text for
// what `express.json()` had made of it, and refused every request.
it.each([
  ['unread', []],
  ['behind express.json()', [express.json()]],
])('a handler that keeps its own sessions gets the body as it came: %s', async (_, before) => {
  const { handler } = mapEndpoint();
  const seen: unknown[] = [];
  const mcp = anynode({
    handler: (req, res, next) => {
      if (req.method === 'POST') seen.push(req.body);
      handler(req, res, next);
    },
    modern: modernOf(),
  });
  onTestFinished(() => mcp.close({ drainMs: 0 }));
  const url = await listen(express().use('/mcp', ...before, mcp));
  const { client } = await openSession(url);
  expect(await client.request(url, 'tools/list')).toMatchObject({ result: {} });
  expect(seen.map((body) => typeof body)).toEqual(
    seen.map(() => (before.length === 0 ? 'undefined' : 'object')),
  );
  expect((await postModern(client, url, 1, 'tools/list')).status).toBe(200);
});

describe('limits hold for both', () => {
  const nested = (depth: number): unknown =>
    JSON.parse(`${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`);

  it.each([
    ['read here', []],
    ['read in front', [express.json({ limit: '4mb' })]],
  ])('a body that is nested too deep, %s', async (_, before) => {
    const { url } = await startNode({ modern: modernOf(), mount: { before } });
    const client = rawClient();
    const deep = (more: object): string => {
      const message = JSON.stringify(request(1, 'tools/list', { ...more, a: 'deep' }));
      return message.replace('"deep"', `${'['.repeat(100_000)}${']'.repeat(100_000)}`);
    };
    const bodies: [string, Headers][] = [
      [deep({ _meta: META }), modernHeaders('tools/list')],
      [deep({}), {}],
    ];
    for (const [body, headers] of bodies) {
      const answer = await client.send('POST', url, body, { headers });
      expect(answer.expect(400).json().error?.message).toContain('nested deeper than 100');
    }
    const fits = { _meta: { ...META, x: nested(90) } };
    expect((await postModern(client, url, 1, 'tools/list', fits)).status).toBe(200);
  });

  it('a body that is too long', async () => {
    const { url } = await startNode({ modern: modernOf(), maxBodyBytes: 1000 });
    const long = { _meta: { ...META, x: 'x'.repeat(1000) } };
    expect((await postModern(rawClient(), url, 1, 'tools/list', long)).status).toBe(413);
  });
});

// A URL that names a user is refused by `Request`: it was an error of the server.
it('a Host header with a user in it does no harm, in either era', async () => {
  const { url } = await startNode({ modern: modernOf(), mount: { trustProxy: 1 } });
  const post = (body: unknown, headers: Headers): Promise<number | undefined> =>
    new Promise((resolve, reject) => {
      const outgoing = httpRequest(url, {
        method: 'POST',
        headers: {
          ...{ host: 'ada:secret@example.com', 'content-type': 'application/json' },
          ...{ accept: 'application/json, text/event-stream', ...headers },
        },
      });
      outgoing.once('response', (response) => {
        response.destroy();
        resolve(response.statusCode);
      });
      outgoing.once('error', reject);
      outgoing.end(JSON.stringify(body));
    });
  expect(await post(listing, modernHeaders('tools/list'))).toBe(200);
  const params = {
    ...{ protocolVersion: '2025-11-25', capabilities: {} },
    clientInfo: { name: 'raw', version: '1' },
  };
  expect(await post(request(1, 'initialize', params), {})).toBe(200);
});

describe('a node that closes', () => {
  const said = (message: string) => ({
    jsonrpc: '2.0',
    id: 'call',
    error: { code: -32000, message, data: { reason: 'node_closed' } },
  });
  const closed = said('The node that ran this request was closed');
  const call = { name: 'slow', arguments: {}, _meta: { progressToken: 'p' } };

  it('lets calls finish, and keeps subscriptions until then', async () => {
    let finish = (): void => undefined;
    const finished = new Promise<void>((resolve) => (finish = resolve));
    let begun = (): void => undefined;
    const started = new Promise<void>((resolve) => (begun = resolve));
    const slow: Tool = async () => {
      begun();
      await finished;
      return 'done';
    };
    const node = await startNode({ modern: modernOf({ slow }) });
    const client = rawClient();
    const stream = await subscribe(client, node.url);
    const answer = postModern(client, node.url, 'call', 'tools/call', call);
    await started;
    expect(node.mcp.health()).toMatchObject({ inFlight: 1, streams: 2 });
    const closing = node.mcp.close();
    await node.mcp.notify.toolsChanged();
    expect((await stream.next()).message?.method).toBe('notifications/tools/list_changed');
    finish();
    expect((await answer).json()).toMatchObject({ result: { content: [{ text: 'done' }] } });
    await closing;
    // A graceful end is told.
    expect((await stream.next()).message).toMatchObject({
      ...{ id: 'listen', result: { resultType: 'complete' } },
    });
    expect(await stream.untilEnded()).toBe('end');
    expect((await postModern(client, node.url, 1, 'tools/list')).status).toBe(503);
    expect(node.mcp.health()).toMatchObject({ inFlight: 0, streams: 0 });
    expect(node.logged).toEqual([]);
  });

  it('ends calls that do not, with an error that says so, whether they have said something or not', async () => {
    let running = 0;
    let begun = (): void => undefined;
    const started = new Promise<void>((resolve) => (begun = resolve));
    const slow: Tool = async ({ mcpReq }) => {
      if (mcpReq._meta?.progressToken !== undefined) {
        const params = { progressToken: 'p', progress: 1 };
        await mcpReq.notify({ method: 'notifications/progress', params });
      }
      running += 1;
      if (running === 2) begun();
      return new Promise<string>((_, reject) => {
        mcpReq.signal.addEventListener('abort', () => reject(new Error('aborted')));
      });
    };
    const node = await startNode({ modern: modernOf({ slow }) });
    const client = rawClient();
    const silent = postModern(client, node.url, 'call', 'tools/call', {
      name: 'slow',
      arguments: {},
    });
    const { sse } = await postModern(client, node.url, 'call', 'tools/call', call);
    await started;
    await node.mcp.close({ drainMs: 0 });
    expect((await silent).expect(200).json()).toEqual(closed);
    await sse.untilEnded();
    expect(sse.messages).toMatchObject([{ method: 'notifications/progress' }, closed]);
    expect(node.logged).toEqual([]);
  });

  it('adds nothing to what was answered', async () => {
    const slow: Tool = async ({ mcpReq }) => {
      const params = { progressToken: 'p', progress: 1 };
      await mcpReq.notify({ method: 'notifications/progress', params });
      return 'x'.repeat(5_000_000);
    };
    const node = await startNode({ modern: modernOf({ slow }) });
    const { sse } = await postModern(rawClient(), node.url, 'call', 'tools/call', call);
    // The answer waits for a reader; the node closes meanwhile.
    sse.pause();
    await new Promise((resolve) => setTimeout(resolve, 100));
    const closing = node.mcp.close({ drainMs: 0 });
    await new Promise((resolve) => setTimeout(resolve, 100));
    sse.resume();
    await closing;
    await sse.untilEnded();
    expect(sse.messages.map(({ id, result }) => [id, result !== undefined])).toEqual([
      [undefined, false],
      ['call', true],
    ]);
  });

  it('does not take a subscription whose server is built too late', async () => {
    let built = (): void => undefined;
    const building = new Promise<void>((resolve) => (built = resolve));
    let begun = (): void => undefined;
    const started = new Promise<void>((resolve) => (begun = resolve));
    const modern = modernOf({}, () => {
      begun();
      return building;
    });
    const node = await startNode({ modern, commandTimeoutMs: 100 });
    const client = rawClient();
    const params = { notifications: { toolsListChanged: true } };
    const answer = postModern(client, node.url, 1, 'subscriptions/listen', params);
    await started;
    await node.mcp.close({ drainMs: 0 });
    built();
    expect((await answer).status).toBe(503);
    expect(node.logged).toEqual([]);
  });
});

it('`notify` rejects when Redis is away: nobody else was told', async () => {
  const proxy = await startTcpProxy({ target: { port: Number(new URL(redisUrl()).port) } });
  onTestFinished(proxy.stop);
  const node = await startNode({
    redis: `redis://127.0.0.1:${proxy.port}`,
    ...{
      prefix: uniquePrefix(),
      commandTimeoutMs: 200,
      modern: modernOf({ hello: () => 'hello' }),
    },
  });
  const client = rawClient();
  const stream = await subscribe(client, node.url);
  proxy.refuse();
  proxy.cut();
  await expect(node.mcp.notify.toolsChanged()).rejects.toMatchObject({
    code: 'backplane_unavailable',
  });
  // Listeners here hear of it all the same, and what needs no session is served.
  expect((await stream.next()).message?.method).toBe('notifications/tools/list_changed');
  expect((await postModern(client, node.url, 1, 'tools/list')).status).toBe(200);
});

it('`notify` is through when other nodes will hear of it, and not before', async () => {
  const inner = memoryBackplane();
  let stored = (): void => undefined;
  const storing = new Promise<void>((resolve) => (stored = resolve));
  const backplane: Backplane = {
    join: (options) => {
      const membership = inner.join(options);
      const { seams } = membership;
      const broadcasts = { ...seams?.broadcasts, publish: () => storing };
      Object.defineProperty(membership, 'seams', { value: { ...seams, broadcasts } });
      return membership;
    },
  };
  const { mcp } = await startNode({ backplane, modern: modernOf() });
  let through = false;
  const telling = mcp.notify.toolsChanged().then(() => (through = true));
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(through).toBe(false);
  stored();
  await telling;
});
