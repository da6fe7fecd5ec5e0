/** What a server at a URL may answer, and what its client gets. */
import type { ServerResponse } from 'node:http';
import { describe, expect, it } from 'vitest';
import { memoryBackplane } from '../../src/index.js';
import { request, type RawResponse } from '../support/mcp-http.js';
import type { Exchange, Puppet, PuppetOptions } from './support/puppet.js';
import { answerJson, event, logLine, puppet, resultOf, stream } from './support/puppet.js';
import type { NodeOptions, TestNode } from './support/serve.js';
import { listen, openSession, rawClient, startNode } from './support/serve.js';

const INITIALIZE = {
  ...{ protocolVersion: '2025-11-25', capabilities: {} },
  clientInfo: { name: 'raw', version: '1' },
};
const CALL = { name: 'any', arguments: {} };

async function behind(
  options: PuppetOptions,
  node: NodeOptions = {},
): Promise<TestNode & { puppet: Puppet; upstream: string }> {
  const made = puppet(options);
  const upstream = await listen(made.app);
  const started = await startNode({ server: undefined, upstream, ...node });
  return { ...started, puppet: made, upstream };
}

function initialize(url: string): Promise<RawResponse> {
  return rawClient().post(url, request(1, 'initialize', INITIALIZE));
}

type Act = (res: ServerResponse, exchange: Exchange) => void;

describe('a call that is answered with', () => {
  const lost = 'server_lost';
  const invalid = 'server_invalid';
  it.each<[string, string, Act]>([
    ['a page', invalid, (res) => void res.setHeader('content-type', 'text/html').end('<p>hello')],
    ['nothing that says what it is', invalid, (res) => void res.end('hello')],
    ['202', invalid, (res) => void res.writeHead(202).end()],
    ['204', invalid, (res) => void res.writeHead(204).end()],
    ['JSON that is cut off', invalid, json('{"jsonrpc":"2.0","id":')],
    ['JSON that is no JSON-RPC', invalid, json('{"hello":"world"}')],
    ['JSON that is null', invalid, json('null')],
    ['an empty batch', invalid, json('[]')],
    ['the answer to another request', invalid, (res) => answerJson(res, resultOf('other'))],
    ['JSON whose connection breaks', lost, cutJson],
    ['an event stream that ends at once', lost, (res) => void stream(res).end()],
    ['half an event', lost, (res, { message }) => void stream(res, half(message?.id)).end()],
    ['an event stream of garbage', lost, (res) => void stream(res, 'data: {\n\n', '\0\n').end()],
    ['a stream with the answer to another', lost, (res) => void stream(res, other()).end()],
  ])('%s ends with an error: %s', async (_, reason, onCall) => {
    const node = await behind({ onCall });
    const { client } = await openSession(node.url);
    const { error } = await client.request(node.url, 'tools/call', CALL);
    expect(error).toMatchObject({ code: -32000, data: { reason } });
    // The call was not sent again.
    expect(callsOf(node.puppet)).toHaveLength(1);
    expect((await client.request(node.url, 'ping')).result).toEqual({});
  });

  function json(body: string): Act {
    return (res) => void res.setHeader('content-type', 'application/json').end(body);
  }
  function cutJson(res: ServerResponse): void {
    res.writeHead(200, { 'content-type': 'application/json', 'content-length': 1000 });
    res.write('{"jsonrpc":"2.0",', () => res.destroy());
  }
  const half = (id: unknown): string => event(resultOf(id)).trimEnd();
  const other = (): string => event(resultOf('other'));

  it('readable messages among garbage are passed on', async () => {
    const node = await behind({
      onCall: (res, { message }) => {
        stream(res, '\u{feff}: hello\n\n', 'data: nonsense\n\n', 'data: null\n\ndata: 7\n\n');
        stream(res, 'event: ping\ndata: {"jsonrpc":"2.0","method":"never"}\n\n', 'what: is this\n');
        const [first = '', second = ''] = event(logLine('a\u00e9b')).split('\u00e9');
        const letter = Buffer.from('\u00e9');
        // The pieces end in the middle of a character and of a line end.
        res.write(Buffer.concat([Buffer.from(first), letter.subarray(0, 1)]));
        res.write(Buffer.concat([letter.subarray(1), Buffer.from(second)]));
        const spread = JSON.stringify(resultOf(message?.id), null, 1).replaceAll(
          '\n',
          '\r\ndata: ',
        );
        res.end(`data: ${spread}\r\n\r\n`);
      },
    });
    const { client } = await openSession(node.url);
    const { sse } = await client.post(node.url, request('c', 'tools/call', CALL));
    const [line, answer] = await sse.first(2);
    expect(line?.message).toEqual(logLine('a\u00e9b'));
    expect(answer?.message).toEqual(resultOf('c'));
  });

  it('messages in a JSON batch arrive before the answer in it', async () => {
    const node = await behind({
      onCall: (res, { message }) =>
        answerJson(res, [resultOf('other'), logLine('beside'), resultOf(message?.id)]),
    });
    const { client } = await openSession(node.url);
    const { sse } = await client.post(node.url, request('c', 'tools/call', CALL));
    const events = await sse.first(2);
    expect(events.map(({ message }) => message)).toEqual([logLine('beside'), resultOf('c')]);
  });

  it('an error without an id becomes the answer', async () => {
    const error = { code: -32602, message: 'no such tool' };
    const node = await behind({
      onCall: (res) => answerJson(res, { jsonrpc: '2.0', id: null, error }),
    });
    const { client } = await openSession(node.url);
    const answer = await client.post(node.url, request('c', 'tools/call', CALL));
    expect(await answer.answer('c')).toEqual({ jsonrpc: '2.0', id: 'c', error });
  });
});

describe('an error status of the server', () => {
  it('429 is passed on with Retry-After for initialize, and becomes an error for a call', async () => {
    const refuse: Act = (res) => {
      res.setHeader('retry-after', '7');
      answerJson(res, { error: 'slow_down' }, 429);
    };
    const refusing = await behind({ onInitialize: refuse });
    const refused = await initialize(refusing.url);
    expect(refused.status).toBe(429);
    expect(refused.headers['retry-after']).toBe('7');
    expect(refused.headers['mcp-session-id']).toBeUndefined();
    expect(JSON.parse(refused.body)).toEqual({ error: 'slow_down' });

    const node = await behind({ onCall: refuse });
    const { client } = await openSession(node.url);
    const { error } = await client.request(node.url, 'tools/call', CALL);
    expect(error).toEqual({
      ...{ code: -32000, message: 'The server refused the request' },
      data: { reason: 'server_refused', status: 429 },
    });
    expect(callsOf(node.puppet)).toHaveLength(1);
  });

  it('with a JSON-RPC error becomes an error with its code and message, and nothing else', async () => {
    const error = { code: -32042, message: 'Pay first', data: { secret: 'of the server' } };
    const node = await behind({
      onCall: (res, { message }) =>
        answerJson(res, { jsonrpc: '2.0', id: message?.id, error }, 402),
    });
    const { client } = await openSession(node.url);
    expect((await client.request(node.url, 'tools/call', CALL)).error).toEqual({
      ...{ code: -32042, message: 'Pay first' },
      data: { reason: 'server_refused', status: 402 },
    });
  });

  it.each([500, 502, 503, 504])('%i becomes 502 for initialize', async (status) => {
    const node = await behind({
      onInitialize: (res) => void res.writeHead(status).end('<h1>trace of the stack'),
    });
    const { status: shown, body } = await initialize(node.url);
    expect(shown).toBe(502);
    expect(JSON.parse(body)).toEqual({
      ...{ jsonrpc: '2.0', id: 1 },
      error: {
        ...{ code: -32000, message: 'The server refused the request' },
        data: { reason: 'server_refused', status },
      },
    });
  });

  // Messages and their authorization are sent only to the server that the operator has named.
  it.each([301, 302, 307, 308])(
    'a redirect (%i) is not followed, and logged once',
    async (status) => {
      const other = puppet();
      const location = await listen(other.app);
      const node = await behind({
        onInitialize: (res) => void res.writeHead(status, { location }).end(),
      });
      for (let count = 0; count < 2; count += 1) {
        const refused = await initialize(node.url);
        expect(refused.status).toBe(502);
        expect(JSON.parse(refused.body)).toMatchObject({
          error: { code: -32000, data: { reason: 'server_refused', status } },
        });
      }
      expect(other.seen).toEqual([]);
      expect(node.logged).toHaveLength(1);
      expect(node.logged[0]).toContain(location);
    },
  );
});

it('a server without sessions gets no session id and no DELETE, and any node serves its clients', async () => {
  const backplane = memoryBackplane();
  const stateless = puppet({
    sessionId: null,
    onCall: (res, { message }) => answer(res, message?.id),
  });
  function answer(res: ServerResponse, id: unknown): void {
    stream(res, event(logLine('before')), event(resultOf(id))).end();
  }
  const upstream = await listen(stateless.app);
  const start = () => startNode({ server: undefined, upstream, backplane });
  const [a, b] = [await start(), await start()];
  const { client, sessionId } = await openSession(a.url);
  expect(sessionId).not.toBe('');
  for (const { url } of [a, b, a]) {
    const { sse } = await client.post(url, request('c', 'tools/call', CALL));
    const events = await sse.first(2);
    expect(events.map(({ message }) => message)).toEqual([logLine('before'), resultOf('c')]);
  }
  (await client.delete(b.url)).expect(200);
  expect((await client.post(a.url, request(9, 'ping'))).status).toBe(404);
  await a.mcp.close();
  await b.mcp.close();
  expect(stateless.seen.filter(({ method }) => method === 'DELETE')).toEqual([]);
  expect(stateless.seen.filter(({ headers }) => 'mcp-session-id' in headers)).toEqual([]);
  const later = stateless.seen.filter(({ message }) => message?.method !== 'initialize');
  for (const { headers } of later) expect(headers['mcp-protocol-version']).toBe('2025-11-25');
  expect([...a.logged, ...b.logged]).toEqual([]);
});

function callsOf({ seen }: Puppet): Exchange[] {
  return seen.filter(({ message }) => message?.method === 'tools/call');
}
