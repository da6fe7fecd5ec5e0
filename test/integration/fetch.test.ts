/** `mcp.fetch`, called without a server: what is different about requests that are no requests of Node. */
import { getEventListeners } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it, vi } from 'vitest';
import type { FetchOptions } from '../../src/index.js';
import { hasMethod, request } from '../support/mcp-http.js';
import { newGate } from './support/gate.js';
import { announce } from './support/scripted-server.js';
import {
  openSession,
  startNode,
  STORES,
  type NodeOptions,
  type TestNode,
} from './support/serve.js';
import { INITIALIZE } from './support/side-by-side.js';

const HEADERS = {
  accept: 'application/json, text/event-stream',
  'content-type': 'application/json',
};
const direct: NodeOptions = { mount: { express: 'direct' } };
const PLACE = 'http://localhost/mcp';

interface Sent extends FetchOptions {
  url?: string;
  headers?: Record<string, string>;
  body?: string | ReadableStream;
  signal?: AbortSignal;
}

/** Posts to the node. Without `body` it sends the message. */
function post(
  { mcp }: Pick<TestNode, 'mcp'>,
  message: object,
  { url = PLACE, headers, body = JSON.stringify(message), signal, ...options }: Sent = {},
): Promise<Response> {
  const given = {
    method: 'POST',
    headers: { ...HEADERS, ...headers },
    body,
    duplex: 'half' as const,
  };
  return mcp.fetch(new Request(url, { ...given, ...(signal && { signal }) }), options);
}

const idOf = (response: Response) => response.headers.get('mcp-session-id') ?? '';
const callOf = (name: string, args = {}) => request(7, 'tools/call', { name, arguments: args });
const errorOf = async (response: Response) =>
  ((await response.json()) as { error: { message: string } }).error.message;

describe.each(STORES)('over %s', (_, openStore) => {
  it('a session goes on between `fetch` and an Express application', async () => {
    const store = openStore();
    const tools = {
      hello: async ({ server }: { server: Parameters<typeof announce>[0] }) => {
        await announce(server, 'said');
        return 'hello';
      },
    };
    const fetched = await startNode({ backplane: store(), tools, ...direct });
    const inExpress = await startNode({ backplane: store(), tools });
    const { client } = await openSession(fetched.url);
    const stream = await client.listen(fetched.url);
    for (const { url } of [inExpress, fetched]) {
      const { result } = await client.request(url, 'tools/call', { name: 'hello', arguments: {} });
      expect(result).toEqual({ content: [{ type: 'text', text: 'hello' }] });
      await stream.next(hasMethod('notifications/message'));
    }
    const { lastEventId } = stream;
    stream.close();
    await expect.poll(() => fetched.mcp.health().streams).toBe(0);
    await client.request(inExpress.url, 'tools/call', { name: 'hello', arguments: {} });
    const resumed = await client.listen(fetched.url, { lastEventId: lastEventId ?? '' });
    await resumed.next(hasMethod('notifications/message'));
    (await client.delete(fetched.url)).expect(200);
    expect((await client.post(inExpress.url, request(9, 'ping'))).status).toBe(404);
  });
});

it.each(['HEAD', 'OPTIONS', 'PUT', 'PATCH'])('%s gets 405', async (method) => {
  const { mcp } = await startNode(direct);
  const response = await mcp.fetch(new Request(PLACE, { method }));
  expect([response.status, response.headers.get('allow')]).toEqual([405, 'GET, POST, DELETE']);
  expect(await response.text()).toMatch(method === 'HEAD' ? /^$/ : /Method not allowed/);
});

it('a handler gets who is calling, the headers and the whole URL', async () => {
  const node = await startNode({
    ...direct,
    tools: {
      look: ({ extra: { authInfo, requestInfo } }) =>
        JSON.stringify([authInfo?.clientId, requestInfo?.headers['x-a'], requestInfo?.url]),
    },
  });
  const authInfo = { token: 't', clientId: 'app', scopes: [], extra: { sub: 'ada' } };
  const url = 'https://localhost:8443/api/mcp?tenant=1';
  const headers = { 'mcp-session-id': idOf(await post(node, INITIALIZE, { authInfo })) };
  const more = { headers: { ...headers, 'x-a': 'b' }, url };
  const answer = await post(node, callOf('look'), { ...more, authInfo });
  expect(await answer.text()).toContain(JSON.stringify(JSON.stringify(['app', 'b', url])));
  // The session is not that of other callers.
  const other = { ...authInfo, extra: { sub: 'eve' } };
  expect((await post(node, callOf('look'), { ...more, authInfo: other })).status).toBe(404);
  expect((await post(node, callOf('look'), more)).status).toBe(404);
});

it('`principal` gets headers, method, URL, address and `auth`', async () => {
  const seen: unknown[] = [];
  const node = await startNode({
    ...direct,
    principal: (req) => {
      const { method, url, headers, socket } = req;
      seen.push([method, url, headers.host, req.get('X-Who'), socket.remoteAddress]);
      return undefined;
    },
  });
  const clientAddress = '203.0.113.7';
  await post(node, INITIALIZE, { headers: { 'x-who': 'ada' }, clientAddress, url: `${PLACE}?a=1` });
  expect(seen).toEqual([['POST', '/mcp?a=1', 'localhost', 'ada', clientAddress]]);
});

describe('the host', () => {
  const evil = 'http://evil.example/mcp';
  const statusOf = async (options: NodeOptions, sent: Sent) =>
    (await post(await startNode({ ...direct, ...options }), INITIALIZE, sent)).status;

  it.each([
    ['of a request from nobody knows where', 403, {}, { url: evil }],
    ['of a loopback connection', 403, {}, { url: evil, clientAddress: '127.0.0.1' }],
    ['of a loopback connection, IPv6', 403, {}, { url: evil, clientAddress: '::1' }],
    ['of a loopback connection, mapped', 403, {}, { url: evil, clientAddress: '::ffff:7f00:1' }],
    ['with an address that is none', 403, {}, { url: evil, clientAddress: 'unknown' }],
    ['of another machine', 200, {}, { url: evil, clientAddress: '10.0.0.9' }],
    ['that is allowed', 200, { allowedHosts: ['evil.example'] }, { url: evil }],
    ['that is not allowed', 403, { allowedHosts: ['a.example'] }, { url: PLACE }],
    ['localhost', 200, {}, { url: 'http://localhost:3000/mcp' }],
    ['localhost, IPv6', 200, {}, { url: 'http://[::1]:3000/mcp' }],
    // A framework may know the host by which it is to be reached, and put it into the URL.
    ['in the header, not in the URL', 403, {}, { url: PLACE, headers: { host: 'evil.example' } }],
  ])('%s: %i', async (_, status, options, sent: Sent) => {
    expect(await statusOf(options, sent)).toBe(status);
  });

  it('the log says how to allow hosts, once in a while', async () => {
    const node = await startNode(direct);
    for (let at = 0; at < 3; at += 1) await post(node, INITIALIZE, { url: evil });
    expect(node.logged).toEqual([expect.stringMatching(/`allowedHosts`.*`clientAddress`/)]);
  });

  it('the Origin header is checked as elsewhere', async () => {
    const options = { allowedOrigins: ['https://a.example'] };
    const from = (origin: string) => statusOf(options, { headers: { origin } });
    expect([await from('https://a.example'), await from('https://b.example')]).toEqual([200, 403]);
  });
});

describe('a body', () => {
  /** A body that never ends, and counts how often it was asked for more. */
  function endless(chunk = 'x'.repeat(1000)) {
    const counted = { pulled: 0, cancelled: 0 };
    const body = new ReadableStream(
      {
        pull: async (controller) => {
          counted.pulled += 1;
          await sleep(1);
          controller.enqueue(Buffer.from(chunk));
        },
        cancel: () => void (counted.cancelled += 1),
      },
      { highWaterMark: 0 },
    );
    return Object.assign(counted, { body });
  }

  it('that is too long gets 413 while it still comes', async () => {
    const node = await startNode({ ...direct, maxBodyBytes: 10_000 });
    const sent = endless();
    expect((await post(node, {}, { body: sent.body })).status).toBe(413);
    expect(sent.pulled).toBeGreaterThan(9);
    expect(sent.pulled).toBeLessThan(20);
  });

  it('is not read for a session of another caller', async () => {
    const node = await startNode({ ...direct, principal: (req) => req.get('x-who') });
    const headers = { 'mcp-session-id': idOf(await post(node, INITIALIZE)), 'x-who': 'eve' };
    const sent = endless();
    expect((await post(node, {}, { body: sent.body, headers })).status).toBe(404);
    expect(sent.pulled).toBe(0);
  });

  it('that does not come in time gets 408', async () => {
    const node = await startNode({ ...direct, limits: { bodyMs: 50 } });
    const body = new ReadableStream({ start: (controller) => controller.enqueue(Buffer.of(123)) });
    const late = await post(node, {}, { body });
    expect([late.status, late.headers.get('connection')]).toEqual([408, 'close']);
  });

  it('that breaks, is empty or is no JSON gets 400', async () => {
    const node = await startNode(direct);
    const broken = new ReadableStream({
      pull: (controller) => controller.error(new Error('gone')),
    });
    const texts = new ReadableStream({
      start: (controller) => {
        controller.enqueue('{}');
        controller.close();
      },
    });
    for (const body of [broken, texts, '', '{', '[]', 'null']) {
      expect((await post(node, {}, { body })).status).toBe(400);
    }
    expect(
      (await node.mcp.fetch(new Request(PLACE, { method: 'POST', headers: HEADERS }))).status,
    ).toBe(400);
    expect(node.logged).toEqual([]);
  });

  it.each([
    ['a value', (value: object) => value],
    ['a text', (value: object) => JSON.stringify(value)],
    ['bytes', (value: object) => Buffer.from(JSON.stringify(value))],
  ])('that was parsed already counts: %s', async (_, parse) => {
    const node = await startNode(direct);
    const used = new Request(PLACE, { method: 'POST', headers: HEADERS, body: 'something else' });
    await used.text();
    expect((await node.mcp.fetch(used, { parsedBody: parse(INITIALIZE) })).status).toBe(200);
    const empty = new Request(PLACE, { method: 'POST', headers: HEADERS, body: '{}' });
    await empty.text();
    expect((await node.mcp.fetch(empty, { parsedBody: {} })).status).toBe(400);
    expect(node.logged).toEqual([]);
  });

  it('that other code has read gets 400, and the log says what to do', async () => {
    const node = await startNode(direct);
    const used = new Request(PLACE, { method: 'POST', headers: HEADERS, body: '{}' });
    await used.json();
    expect((await node.mcp.fetch(used)).status).toBe(400);
    const locked = new Request(PLACE, { method: 'POST', headers: HEADERS, body: '{}' });
    locked.body?.getReader();
    expect((await node.mcp.fetch(locked)).status).toBe(400);
    expect(node.logged).toEqual(Array(2).fill(expect.stringContaining('parsedBody')));
  });
});

describe('a client that goes', () => {
  async function withSession(options: NodeOptions = {}) {
    const node = await startNode({ ...direct, ...options });
    return { ...node, headers: { 'mcp-session-id': idOf(await post(node, INITIALIZE)) } };
  }
  const getOf = (headers: Record<string, string>, signal?: AbortSignal) =>
    new Request(PLACE, { headers: { ...HEADERS, ...headers }, ...(signal && { signal }) });

  it.each(['cancels the stream', 'aborts the request'])(
    'and %s has no connection any more',
    async (how) => {
      const { mcp, headers } = await withSession();
      const gone = new AbortController();
      const { body } = await mcp.fetch(getOf(headers, gone.signal));
      expect(mcp.health().streams).toBe(1);
      if (how === 'aborts the request') gone.abort();
      else await body?.cancel();
      await expect.poll(() => mcp.health().streams).toBe(0);
    },
  );

  it('before the response begins gets 499, and its call goes on', async () => {
    const { opened, open } = newGate();
    let ran = false;
    const wait = async () => {
      await opened;
      ran = true;
      return 'done';
    };
    const node = await withSession({ responseMode: 'json', tools: { wait } });
    const gone = new AbortController();
    const { signal } = gone;
    const answer = post(node, callOf('wait'), { headers: node.headers, signal });
    await expect.poll(() => node.mcp.health().inFlight).toBe(1);
    gone.abort();
    expect((await answer).status).toBe(499);
    expect((await post(node, callOf('echo'), { headers: node.headers, signal })).status).toBe(499);
    open();
    await expect.poll(() => ran).toBe(true);
    expect(node.logged).toEqual([]);
  });

  it('while it sends its body gets 499, and the body is left', async () => {
    const node = await withSession();
    const gone = new AbortController();
    const cancelled = vi.fn();
    const body = new ReadableStream({ cancel: cancelled });
    const answer = post(node, {}, { body, headers: node.headers, signal: gone.signal });
    await sleep(20);
    gone.abort();
    expect((await answer).status).toBe(499);
    await expect.poll(() => cancelled.mock.calls.length).toBe(1);
  });

  it('leaves no listener on a signal that many requests share', async () => {
    const { mcp, headers } = await withSession();
    const { signal } = new AbortController();
    const ping = () => {
      const body = JSON.stringify(request(1, 'ping'));
      const given = { method: 'POST', headers: { ...HEADERS, ...headers }, body };
      return Object.defineProperty(new Request(PLACE, given), 'signal', { value: signal });
    };
    const running = mcp.fetch(ping());
    expect(getEventListeners(signal, 'abort')).toHaveLength(1);
    expect((await running).status).toBe(200);
    await expect.poll(() => getEventListeners(signal, 'abort').length).toBe(0);
  });
});

it('a reader that does not read holds little memory, and misses nothing when it reads on', async () => {
  const maxBufferedBytes = 100_000;
  const node = await startNode({ ...direct, maxBufferedBytes });
  const headers = { ...HEADERS, 'mcp-session-id': idOf(await post(node, INITIALIZE)) };
  const { body } = await node.mcp.fetch(new Request(PLACE, { headers }));
  const session = node.mcp.session(headers['mcp-session-id']);
  const data = 'x'.repeat(10_000);
  for (let at = 0; at < 200; at += 1) {
    await session.notify({
      method: 'notifications/message',
      params: { level: 'info', data: `${at} ${data}` },
    });
  }
  // The response is the sink of the stream's one follower.
  const reader = (body as ReadableStream<Uint8Array> | null)?.getReader();
  let text = '';
  const decoder = new TextDecoder();
  while (!text.includes('"199 ')) {
    const { value, done } = (await reader?.read()) ?? {};
    if (done === true) break;
    text += decoder.decode(value, { stream: true });
  }
  const numbers = [...text.matchAll(/"data":"(\d+) /g)].map(([, number]) => Number(number));
  expect(numbers).toEqual(Array.from({ length: 200 }, (_, at) => at));
});

it('a reader that does not read is cut after `stalledMs`', async () => {
  const node = await startNode({ ...direct, limits: { stalledMs: 100 }, maxBufferedBytes: 1000 });
  const headers = { ...HEADERS, 'mcp-session-id': idOf(await post(node, INITIALIZE)) };
  const { body } = await node.mcp.fetch(new Request(PLACE, { headers }));
  const session = node.mcp.session(headers['mcp-session-id']);
  for (let at = 0; at < 10; at += 1) {
    await session.notify({
      method: 'notifications/message',
      params: { level: 'info', data: 'x'.repeat(20_000) },
    });
  }
  expect(node.mcp.health().streams).toBe(1);
  await expect.poll(() => node.mcp.health().streams).toBe(0);
  const reader = body?.getReader();
  await expect(reader?.read()).rejects.toThrow('the response was cut');
});

it('`close` ends streams whose clients can resume, lets calls finish, and refuses what comes later', async () => {
  const { opened, open } = newGate();
  const node = await startNode({ ...direct, tools: { wait: () => opened.then(() => 'done') } });
  const headers = { 'mcp-session-id': idOf(await post(node, INITIALIZE)) };
  const stream = await node.mcp.fetch(new Request(PLACE, { headers: { ...HEADERS, ...headers } }));
  const running = post(node, callOf('wait'), { headers });
  await expect.poll(() => node.mcp.health().inFlight).toBe(1);
  const closed = node.mcp.close();
  expect(await stream.text()).toMatch(/retry: \d+\n\n$/);
  const during = await post(node, request(8, 'ping'), { headers });
  expect([during.status, during.headers.get('connection')]).toEqual([200, 'close']);
  open();
  expect(await (await running).text()).toContain('done');
  await closed;
  const after = await post(node, INITIALIZE);
  expect([after.status, after.headers.get('retry-after')]).toEqual([503, '1']);
  expect(await errorOf(after)).toContain('shutting down');
});

it('an error that the option `principal` throws gets 500, and is logged', async () => {
  const node = await startNode({
    ...direct,
    principal: () => {
      throw new Error('no database');
    },
  });
  expect((await post(node, INITIALIZE)).status).toBe(500);
  expect(node.logged).toEqual([expect.stringContaining('no database')]);
});

it('rejects what is no request, and nothing else', async () => {
  const { mcp } = await startNode(direct);
  await expect(mcp.fetch(undefined as never)).rejects.toThrow(TypeError);
  const { fetch } = mcp;
  expect((await fetch(new Request(PLACE))).status).toBe(406);
});
