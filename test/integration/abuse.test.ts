/** Requests that a proxy and a node could read in different ways, and messages that pass for something else. */
import { connect } from 'node:net';
import { describe, expect, it } from 'vitest';
import { hasMethod, request } from '../support/mcp-http.js';
import { exchange } from './support/exchange.js';
import type { ToolCall } from './support/scripted-server.js';
import { openSession, startNode, startSession, STORES } from './support/serve.js';

/**
 * Sends bytes unchanged. Resolves with the statuses of all answers when the server has ended the connection or falls
 * silent.
 */
async function statuses(url: string, bytes: string): Promise<number[]> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  socket.on('error', () => undefined);
  let text = '';
  socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')));
  socket.write(bytes);
  // A request that asks for the end of the connection follows. When it is answered, those before have been answered.
  socket.end('GET /mcp HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n');
  await new Promise((resolve) => socket.once('close', resolve));
  return [...text.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => Number(status));
}

describe('a request that can be read in two ways', () => {
  const PING = JSON.stringify(request(1, 'ping'));
  const head = (sessionId: string, ...lines: string[]): string =>
    [
      'POST /mcp HTTP/1.1',
      'host: localhost',
      'accept: application/json, text/event-stream',
      'content-type: application/json',
      `mcp-session-id: ${sessionId}`,
      ...lines,
      '',
      '',
    ].join('\r\n');
  const end = (sessionId: string): string =>
    `DELETE /mcp HTTP/1.1\r\nhost: localhost\r\nmcp-session-id: ${sessionId}\r\n\r\n`;

  it('gets 400, and the request hidden in it is not carried out', async () => {
    const { client, url, sessionId, mcp, logged } = await startSession();
    const length = `content-length: ${PING.length}`;
    const hidden = end(sessionId);
    const chunked = `${PING.length.toString(16)}\r\n${PING}\r\n0\r\n\r\n`;
    const smuggled: [what: string, bytes: string][] = [
      ['two lengths', head(sessionId, length, 'content-length: 0') + PING + hidden],
      ['a list of lengths', head(sessionId, `${length}, ${PING.length}`) + PING + hidden],
      [
        'a length and chunks',
        head(sessionId, 'content-length: 4', 'transfer-encoding: chunked') + chunked + hidden,
      ],
      [
        'chunks, spelt oddly',
        head(sessionId, length, 'transfer-encoding: xchunked') + PING + hidden,
      ],
      ['chunks, and more', head(sessionId, 'transfer-encoding: chunked, x') + chunked + hidden],
      ['a length below 0', head(sessionId, 'content-length: -1') + hidden],
      ['a length with a sign', head(sessionId, `content-length: +${PING.length}`) + PING + hidden],
      ['a space before the colon', head(sessionId, `content-length : ${PING.length}`) + hidden],
      [
        'a folded header',
        head('x').replace('session-id: x', `session-id:\r\n ${sessionId}`) + hidden,
      ],
      ['a bare line feed', head(sessionId, `x: y\nmcp-session-id: ${sessionId}`) + hidden],
      [
        'a chunk that is too long',
        head(sessionId, 'transfer-encoding: chunked') + `fffffffff${chunked}`,
      ],
    ];
    for (const [what, bytes] of smuggled) {
      const answers = await statuses(url, bytes);
      expect(answers, what).toEqual([400]);
    }
    // The twin: the same request sent openly is carried out.
    const other = await openSession(url);
    expect(await statuses(url, head(sessionId, length) + PING + end(other.sessionId))).toEqual([
      200, 200, 406,
    ]);
    expect(await client.request(url, 'ping')).toMatchObject({ result: {} });
    expect([mcp.health().streams, logged]).toEqual([0, []]);
  });

  it('gets 404 if it names several session ids, in whatever form', async () => {
    const { url, sessionId } = await startSession();
    const other = await openSession(url);
    const lines: [string, string][] = [
      ['accept', 'application/json, text/event-stream'],
      ['content-type', 'application/json'],
    ];
    const ids: [string, string][][] = [
      [
        ['mcp-session-id', sessionId],
        ['mcp-session-id', other.sessionId],
      ],
      [
        ['mcp-session-id', sessionId],
        ['MCP-SESSION-ID', sessionId],
      ],
      [['mcp-session-id', `${sessionId},${other.sessionId}`]],
      [['mcp-session-id', `${sessionId}, ${sessionId}`]],
      [['mcp-session-id', `["${sessionId}"]`]],
      [['mcp-session-id', `"${sessionId}"`]],
      [['mcp-session-id', `${sessionId};q=1`]],
    ];
    for (const named of ids) {
      for (const method of ['POST', 'GET', 'DELETE']) {
        const answer = await exchange(
          method,
          url,
          [...lines, ...named],
          method === 'POST' ? PING : undefined,
        );
        answer.close();
        expect(answer.status, JSON.stringify(named)).toBe(404);
      }
    }
    expect(await other.client.request(url, 'ping')).toMatchObject({ result: {} });
  });

  it('gets 415 or 406 for media types that only look like JSON', async () => {
    const { url, sessionId } = await startSession();
    const send = async (accept: string, type: string): Promise<number> => {
      const lines = Object.entries({
        ...{ accept, 'content-type': type, 'mcp-session-id': sessionId },
      });
      const answer = await exchange('POST', url, lines, PING);
      answer.close();
      return answer.status;
    };
    const both = 'application/json, text/event-stream';
    for (const type of [
      ...['text/plain', 'text/plain; a=application/json', 'application/json2', 'application/jsonp'],
      ...['application/json, text/plain', 'multipart/form-data; boundary=application/json', 'json'],
      ...['application/json\t, x', '', ' ', 'a'.repeat(10_000)],
    ]) {
      expect(await send(both, type), type.slice(0, 50)).toBe(415);
    }
    for (const accept of ['', '*', 'text/html', 'application/json', 'x'.repeat(10_000)]) {
      expect(await send(accept, 'application/json'), accept.slice(0, 50)).toBe(406);
    }
  });
});

describe('a name that every JavaScript object has', () => {
  const KEYS = ['__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty'];

  it.each(STORES)('is a name like any other, over %s', async (_, openStore) => {
    const store = openStore();
    const tools = { own: ({ args }: ToolCall) => JSON.stringify(Object.keys(args).sort()) };
    const a = await startNode({ backplane: store(), tools });
    const b = await startNode({ backplane: store(), tools });
    const { client, sessionId } = await openSession(a.url);
    for (const key of KEYS) {
      const answer = await client.post(b.url, request(key, 'ping'));
      expect(await answer.answer(key)).toEqual({ jsonrpc: '2.0', id: key, result: {} });
      const subscribed = await client.request(a.url, 'resources/subscribe', { uri: key });
      expect(subscribed).toMatchObject({ result: {} });
      await client.notify(b.url, 'notifications/cancelled', { requestId: key });
      await client.notify(a.url, 'notifications/progress', { progressToken: key, progress: 1 });
      await client.notify(b.url, key, { [key]: key });
      const unknown = await client.request(b.url, key);
      expect(unknown.error?.code).toBe(-32601);
    }
    const polluted =
      '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"own","arguments":' +
      '{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}},"__proto__":{"polluted":1}}}';
    (await client.send('POST', b.url, polluted)).expect(200);
    (await client.send('POST', a.url, `[${polluted}]`)).expect(200);
    for (const frame of [
      '{"__proto__":{"jsonrpc":"2.0","method":"ping","id":1}}',
      '{"jsonrpc":"2.0","__proto__":{"id":1},"id":1,"method":"ping"}',
      '{"constructor":{},"jsonrpc":"2.0","id":1,"method":"ping"}',
    ]) {
      expect((await client.send('POST', a.url, frame)).status, frame).toBe(400);
    }
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
    const info = await b.mcp.sessions.get(sessionId);
    expect(info?.subscriptions.sort()).toEqual([...KEYS].sort());
    expect([a.logged, b.logged].flat()).toEqual([]);
  });
});

it('a request id that is in use is refused with 400 in any batch, and its call runs once', async () => {
  let runs = 0;
  let finish = (): void => undefined;
  const finished = new Promise<void>((resolve) => (finish = resolve));
  const tools = {
    count: async () => {
      runs += 1;
      await finished;
      return `${runs}`;
    },
  };
  const { client, url } = await startSession({ tools });
  const call = request(5, 'tools/call', { name: 'count' });
  const running = await client.post(url, call);
  await expect.poll(() => runs).toBe(1);
  for (const repeated of [
    call,
    [call],
    [request(6, 'ping'), call],
    [request(7, 'ping'), request(7, 'ping')],
  ]) {
    expect((await client.post(url, repeated)).status).toBe(400);
  }
  // The other requests of a refused batch have not begun either.
  (await client.post(url, request(6, 'ping'))).expect(200);
  finish();
  expect(await running.answer(5)).toMatchObject({ result: { content: [{ text: '1' }] } });
});

it.each(STORES)(
  'cursors with malformed numbers get 400 over %s, and the stream goes on',
  async (_, openStore) => {
    const { client, url, mcp, sessionId, logged } = await startSession({
      backplane: openStore()(),
    });
    const stream = await client.listen(url);
    const { id = '' } = await stream.priming();
    const [tag = '', name = ''] = id.split('.');
    const numbers = ['-1', 'NaN', 'Infinity', '', ' ', '1_0', 'ß', '٣', 'z'.repeat(40), '-'];
    const forged = numbers.flatMap((odd) =>
      [0, 1, 2].map((at) => [tag, name, ...['1', '1', '1'].with(at, odd)].join('.')),
    );
    for (const lastEventId of [
      ...forged,
      id.repeat(2),
      id.repeat(150),
      `${tag}.*.1.1.1`,
      '.....',
    ]) {
      const header = Buffer.from(lastEventId).toString('latin1');
      const answer = await client.get(url, { lastEventId: header });
      expect(answer.status, lastEventId.slice(0, 60)).toBe(400);
    }
    // This cursor is well formed, but far ahead of the log. The next message is shown.
    const far = [tag, name, ...['gjdgxr', '2gosa7pa2gv', '2gosa7pa2gv']].join('.');
    const ahead = await client.get(url, { lastEventId: far });
    expect([200, 400]).toContain(ahead.status);
    await mcp
      .session(sessionId)
      .notify({ method: 'notifications/message', params: { level: 'info', data: 'on' } });
    const fresh = ahead.status === 200 ? ahead.sse : await client.listen(url);
    await fresh.next(hasMethod('notifications/message'));
    expect(logged).toEqual([]);
  },
);
