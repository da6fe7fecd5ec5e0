/**
 * Requests and responses that are not those of Node's HTTP/1 server: of serverless adapters, of HTTP/2, or changed by
 * middleware.
 */
import { once } from 'node:events';
import http, { IncomingMessage, ServerResponse } from 'node:http';
import http2 from 'node:http2';
import type { AddressInfo } from 'node:net';
import { PassThrough } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type { RequestHandler, Response } from 'express';
import express from 'express';
import { describe, expect, it, onTestFinished } from 'vitest';
import { request } from '../support/mcp-http.js';
import type { ToolCall } from './support/scripted-server.js';
import { listen, startNode, startSession, type TestNode } from './support/serve.js';
import { INITIALIZE } from './support/side-by-side.js';

const HEADERS = {
  accept: 'application/json, text/event-stream',
  'content-type': 'application/json',
};
const slow = () => sleep(60, 'done');

describe('middleware that changes headers', () => {
  const set =
    (name: string, value: string | undefined): RequestHandler =>
    (req, _res, next) => {
      req.headers[name] = value;
      next();
    };
  const statusOf = async (before: RequestHandler[], headers: Record<string, string>) => {
    const { url } = await startNode({ mount: { before } });
    const body = JSON.stringify(INITIALIZE);
    // The body is sent as bytes, because a text would get a content type.
    return (await fetch(url, { method: 'POST', headers, body: Buffer.from(body) })).status;
  };
  const { accept } = HEADERS;
  const mended = set('content-type', 'application/json');

  it.each([
    ['there is none', { accept }],
    ['it is another one', { accept, 'content-type': 'text/plain' }],
    ['it is two in one', { accept, 'content-type': 'text/plain, application/json' }],
  ])('can set the content type that counts: %s', async (_, headers) => {
    expect(await statusOf([mended], headers)).toBe(200);
    expect(await statusOf([], headers)).toBe(415);
  });

  it('can remove a header', async () => {
    expect(await statusOf([set('content-type', undefined)], HEADERS)).toBe(415);
    expect(await statusOf([set('accept', undefined)], HEADERS)).toBe(406);
  });

  // Bug: a list as the content type or as the encoding threw a TypeError, and one as the session id was not read.
  it('may set a header to a list of its lines', async () => {
    const lists: RequestHandler = ({ headers }, _res, next) => {
      headers.accept = (headers.accept ?? '').split(', ') as never;
      for (const name of ['content-type', 'content-encoding', 'mcp-session-id', 'origin']) {
        if (headers[name] !== undefined) headers[name] = [String(headers[name])];
      }
      next();
    };
    const allowedOrigins = ['https://page.example'];
    const { url, logged } = await startNode({ mount: { before: [lists] }, allowedOrigins });
    const accept = 'text/event-stream;q=0.9, application/json;q=0.8';
    const more = {
      ...HEADERS,
      accept,
      'content-encoding': 'identity',
      origin: allowedOrigins[0] ?? '',
    };
    const post = (message: object, headers: Record<string, string> = more) =>
      fetch(url, { method: 'POST', headers, body: JSON.stringify(message) });
    const begun = await post(INITIALIZE);
    expect(begun.status).toBe(200);
    const id = begun.headers.get('mcp-session-id') ?? '';
    expect((await post(request(2, 'ping'), { ...more, 'mcp-session-id': id })).status).toBe(200);
    expect((await post(INITIALIZE, { ...more, origin: 'https://evil.example' })).status).toBe(403);
    expect(logged).toEqual([]);
  });
});

/** Calls the node as an adapter of a cloud function does: without a socket, and with a response that never closes. */
function invoke(
  { mcp }: TestNode,
  message: object,
  headers: Record<string, string> = {},
): Promise<{ status: number; head: Record<string, unknown>; text: string; thrown: unknown[] }> {
  const socket = Object.assign(new PassThrough(), { remoteAddress: '203.0.113.9' });
  const req = new IncomingMessage(socket as never);
  const body = Buffer.from(JSON.stringify(message));
  Object.assign(req, {
    ...{ method: 'POST', url: '/mcp', httpVersion: '1.1', complete: true, rawHeaders: undefined },
    headers: { host: 'abc.example', ...HEADERS, 'content-length': `${body.length}`, ...headers },
    _read() {
      req.push(body);
      req.push(null);
    },
  });
  const res = new ServerResponse(Object.assign(Object.create(null), { method: 'POST' }) as never);
  res.useChunkedEncodingByDefault = false;
  const chunks: string[] = [];
  const thrown: unknown[] = [];
  const nothing = (): void => undefined;
  res.assignSocket({
    ...{
      _writableState: {},
      writable: true,
      on: nothing,
      removeListener: nothing,
      cork: nothing,
      uncork: nothing,
    },
    write(chunk: string | Buffer, encoding: unknown, done: unknown) {
      chunks.push(String(chunk));
      for (const each of [encoding, done]) if (typeof each === 'function') (each as () => void)();
      return true;
    },
  } as never);
  const writeHead = res.writeHead.bind(res) as (...args: unknown[]) => unknown;
  // The return value of `end` must not matter.
  Object.assign(res, { writeHead: (...args: unknown[]) => void writeHead(...args) });
  try {
    mcp.listener(req, res);
  } catch (error) {
    thrown.push(error);
  }
  return new Promise((resolve) => {
    res.once('finish', () => {
      const [head = '', ...rest] = chunks.join('').split('\r\n\r\n');
      const lines = head.split('\r\n').slice(1);
      const named = lines.map((line) => line.toLowerCase().split(': ') as [string, string]);
      const text = rest.join('\r\n\r\n');
      resolve({ status: res.statusCode, head: Object.fromEntries(named), text, thrown });
    });
  });
}

describe.each(['sse', 'json'] as const)('a node without a real socket, %s', (responseMode) => {
  it('serves a session, and leaves nothing behind', async () => {
    const options = { responseMode, tools: { slow }, limits: { streamsPerSession: 2 } };
    const node = await startNode({ ...options, mount: { express: 'none' } });
    const begun = await invoke(node, INITIALIZE);
    expect([begun.status, begun.thrown]).toEqual([200, []]);
    const own = { 'mcp-session-id': String(begun.head['mcp-session-id']) };
    const call = request(2, 'tools/call', { name: 'slow', arguments: {} });
    // These are more calls than may be open at once. A response that has ended counts no more.
    for (let at = 0; at < 4; at += 1) {
      const { status, text } = await invoke(node, call, own);
      expect([status, text]).toEqual([200, expect.stringContaining('"done"')]);
    }
    expect(node.mcp.health()).toMatchObject({ streams: 0, inFlight: 0 });
    expect(node.logged).toEqual([]);
  });
});

// An error that is thrown in a timer, or while a message of another node is handled, would end the process.
it.each([
  ['writeHead', 'sse'],
  ['write', 'sse'],
  ['end', 'sse'],
  ['writeHead', 'json'],
  ['end', 'json'],
] as const)('a response whose `%s` throws ends alone, %s', async (method, responseMode) => {
  let broken = false;
  const front: RequestHandler = (_req, res, next) => {
    const works = res[method].bind(res) as (...args: unknown[]) => unknown;
    Object.assign(res, {
      [method]: (...args: unknown[]) => {
        if (broken) throw new Error('broken in front');
        return works(...args);
      },
    });
    next();
  };
  const tools = { slow: () => sleep(30, 'done') };
  const mount = { before: [front] };
  const node = await startSession({ keepAliveMs: 10, responseMode, tools, mount });
  const { client, url, mcp, logged } = node;
  broken = true;
  const call = request(50, 'tools/call', { name: 'slow', arguments: {} });
  const posted = client.post(url, call).then(
    ({ stream }) => stream?.ended,
    () => undefined,
  );
  // A GET stream ends with its session only.
  const got = method === 'end' ? undefined : client.get(url).catch(() => undefined);
  await Promise.all([posted, got]);
  broken = false;
  await expect.poll(() => mcp.health()).toMatchObject({ inFlight: 0, streams: 0 });
  expect(await client.request(url, 'ping')).toMatchObject({ result: {} });
  expect(logged.join()).toContain('broken in front');
});

describe('HTTP/2', () => {
  async function start(options: Parameters<typeof startNode>[0] = {}) {
    const tools = {
      slow,
      look: ({ extra }: ToolCall) => {
        const { url, headers } = extra.requestInfo ?? { headers: {} };
        const { host, ...rest } = Object.fromEntries(
          new Request(url ?? 'http://x/', { headers: headers as Record<string, string> }).headers,
        );
        const names = Object.keys(rest).join();
        return JSON.stringify({ host, url: String(url), names });
      },
    };
    const node = await startNode({ tools, mount: { express: 'none' }, ...options });
    const server = http2.createServer(node.mcp.listener as never).listen(0, 'localhost');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const origin = `http://localhost:${port}`;
    const client = http2.connect(origin);
    client.on('error', () => undefined);
    onTestFinished(() => {
      client.destroy();
      server.close();
    });
    const send = async (
      method: string,
      body?: object,
      headers: Record<string, string> = {},
      until: RegExp = /$^/,
    ) => {
      const stream = client.request({ ':method': method, ':path': '/mcp', ...HEADERS, ...headers });
      stream.end(body === undefined ? undefined : JSON.stringify(body));
      const [head] = (await once(stream, 'response')) as [http2.IncomingHttpHeaders];
      let text = '';
      for await (const chunk of stream) {
        text += String(chunk);
        if (until.test(text)) break;
      }
      return { status: Number(head[':status']), head, text };
    };
    return { ...node, origin, send };
  }

  it.each([undefined, ['localhost']])(
    'serves a session from its beginning to its end, allowed hosts: %s',
    async (allowedHosts) => {
      const warnings: string[] = [];
      const onWarning = ({ message }: Error): void => void warnings.push(message);
      process.on('warning', onWarning);
      onTestFinished(() => void process.off('warning', onWarning));
      const { origin, send, mcp, logged } = await start({ allowedHosts });
      const begun = await send('POST', INITIALIZE);
      expect(begun.status).toBe(200);
      const own = {
        'mcp-session-id': String(begun.head['mcp-session-id']),
        'mcp-protocol-version': '2025-11-25',
      };
      const call = (id: number, name: string) =>
        send('POST', request(id, 'tools/call', { name, arguments: {} }), own);
      expect((await call(2, 'slow')).text).toContain('"done"');
      const { text } = await call(3, 'look');
      expect(text).toContain(new URL(origin).host);
      expect(text).toContain(`${origin}/mcp`);
      const get = await send('GET', undefined, own, /: stream\n/);
      expect(get.status).toBe(200);
      expect(get.head.connection).toBeUndefined();
      await expect.poll(() => mcp.health().streams).toBe(0);
      expect((await send('DELETE', undefined, own)).status).toBe(200);
      expect((await send('GET', undefined, own)).status).toBe(404);
      expect([logged, warnings]).toEqual([[], []]);
    },
  );

  it('refuses a host that is not allowed', async () => {
    const { send } = await start({ allowedHosts: ['mcp.example.com'] });
    expect((await send('POST', INITIALIZE)).status).toBe(403);
    const guarded = await start();
    const foreign = await guarded.send('POST', INITIALIZE, { ':authority': 'mcp.example.com' });
    expect(foreign.status).toBe(403);
  });

  // Bug: the time limit for a stalled stream was set on its connection, and ended all other streams on it.
  it('does not end a connection because of an idle stream', async () => {
    const { send, mcp } = await start({ keepAliveMs: 0, limits: { stalledMs: 50 } });
    const begun = await send('POST', INITIALIZE);
    const own = { 'mcp-session-id': String(begun.head['mcp-session-id']) };
    const get = send('GET', undefined, own, /late/);
    await expect.poll(() => mcp.health().streams).toBe(1);
    await sleep(150);
    const params = { level: 'info', data: 'late' };
    await mcp.session(own['mcp-session-id']).notify({ method: 'notifications/message', params });
    expect((await get).text).toContain('late');
  });
});

// Bug: Node leaves the timeout of a socket alone if idle connections have none, so that ours outlived the response.
it.each([0, 50, 5000])(
  'a connection that has carried a stream has the timeout of any other afterwards, keepAliveTimeout %i',
  async (keepAliveTimeout) => {
    const stalledMs = 50;
    const { app, mcp } = await startNode({ tools: { slow }, limits: { stalledMs } });
    const timeouts: number[] = [];
    const look = (_req: unknown, res: Response): void => {
      timeouts.push(res.socket?.timeout ?? 0); // `undefined`: never set
      res.end();
    };
    const outer = express().get('/look', look).use(app);
    const url = await listen(outer, { keepAliveTimeout });
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    onTestFinished(() => agent.destroy());
    const send = async (method: string, path: string, body?: object, more = {}) => {
      const sent = http.request(new URL(path, url), {
        ...{ method, agent, headers: { ...HEADERS, ...more } },
      });
      sent.end(body === undefined ? undefined : JSON.stringify(body));
      const [answer] = (await once(sent, 'response')) as [IncomingMessage];
      answer.resume();
      await once(answer, 'end');
      return answer.headers;
    };
    const { 'mcp-session-id': id } = await send('POST', '/mcp', INITIALIZE);
    const call = request(2, 'tools/call', { name: 'slow', arguments: {} });
    await send('POST', '/mcp', call, { 'mcp-session-id': id });
    await send('GET', '/look');
    expect(timeouts).toEqual([0]);
    expect(mcp.health()).toMatchObject({ streams: 0 });
  },
);
