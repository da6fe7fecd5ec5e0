/**
 * Requests that no well-behaved client sends. Each gets a 4xx, causes no log entry of an error, and leaves the session
 * as it was.
 */
import { connect } from 'node:net';
import { once } from 'node:events';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hasMethod, request, response } from '../support/mcp-http.js';
import type { ToolCall } from './support/scripted-server.js';
import { openSession, startNode, startSession, STORES } from './support/serve.js';
import { exchange } from './support/exchange.js';

const tools = {
  ask: async ({ extra, server }: ToolCall) => {
    const message = { role: 'user' as const, content: { type: 'text' as const, text: 'q' } };
    const options = { relatedRequestId: extra.requestId };
    const answer = await server.createMessage({ messages: [message], maxTokens: 5 }, options);
    return JSON.stringify(answer.content);
  },
  // A database driver may well return such a result.
  big: () => ({ content: [], structuredContent: { count: 1n } }),
};
const answered = (text: string) => ({
  role: 'assistant',
  model: 'm',
  content: { type: 'text', text },
});

/** Sends bytes unchanged, and resolves with the status. */
async function raw(url: string, bytes: string | Buffer): Promise<number> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  // A server that refuses early may reset the connection while the client still writes.
  socket.on('error', () => undefined);
  socket.write(bytes);
  const [data] = (await once(socket, 'data')) as [Buffer];
  socket.destroy();
  return Number(data.toString('latin1').split(' ')[1]);
}

describe('session ids', () => {
  it('that are 10 MB long or have control characters are refused, without harm', async () => {
    const { url, mcp, logged } = await startNode();
    const head = 'POST /mcp HTTP/1.1\r\nhost: localhost\r\nmcp-session-id: ';
    const big = await raw(url, head + 'x'.repeat(10_000_000) + '\r\n\r\n');
    expect([400, 431]).toContain(big);
    for (const byte of [0, 1, 7, 127]) {
      const status = await raw(url, `${head}a${String.fromCharCode(byte)}b\r\n\r\n`);
      expect([400, 406]).toContain(status);
    }
    expect(mcp.health()).toMatchObject({ sessions: 0, streams: 0, inFlight: 0 });
    expect(logged).toEqual([]);
  });

  it.each(STORES)(
    'that cannot exist get 404 for every method, and never 5xx, over %s',
    async (_, openStore) => {
      const { client, url, sessionId, mcp, logged } = await startSession({
        backplane: openStore()(),
      });
      const odd = fc.oneof(
        fc.constantFrom(
          ...[
            '{',
            '}',
            '{x}',
            '*',
            '?',
            '..',
            '__proto__',
            'constructor',
            'a:events',
            'a b',
            '%00',
          ],
          ...[`${sessionId}:events`, `{${sessionId}}`, `${sessionId}}`, sessionId.toUpperCase()],
          ...['x'.repeat(256), 'x'.repeat(257), 'x'.repeat(9_000), 'é', '\u00ff', '0', 'sessions'],
        ),
        fc
          .array(fc.integer({ min: 0x21, max: 0xff }), { minLength: 1, maxLength: 40 })
          .map((codes) => String.fromCharCode(...codes.filter((code) => code < 127 || code > 160)))
          .filter((text) => text !== ''),
      );
      const property = fc.asyncProperty(odd, async (id) => {
        const headers = { 'mcp-session-id': id };
        const answers = [
          await client.post(url, request(1, 'ping'), { headers }),
          await client.get(url, { headers }),
          await client.delete(url, { headers }),
        ];
        expect(answers.map(({ status }) => status)).toEqual([404, 404, 404]);
      });
      await fc.assert(property, { numRuns: 60 });
      expect(await client.request(url, 'ping')).toMatchObject({ result: {} });
      expect([mcp.health().sessions, logged]).toEqual([1, []]);
    },
  );

  it('that a generator makes in a wrong form are reported in the log, not to the client', async () => {
    const { url, logged } = await startNode({ sessionIdGenerator: () => 'a b' });
    await expect(openSession(url)).rejects.toMatchObject({ status: 500 });
    expect(logged.join()).not.toContain('undefined');
  });

  it('that a generator makes twice are not given to two clients', async () => {
    const { url, logged } = await startNode({ sessionIdGenerator: () => 'always-the-same' });
    const { client } = await openSession(url);
    await expect(openSession(url)).rejects.toThrow();
    expect(logged.join()).toContain('sessionIdGenerator returned an id that is in use');
    expect(await client.request(url, 'ping')).toMatchObject({ result: {} });
  });
});

describe.each(STORES)('answers to the server’s requests, over %s', (_, openStore) => {
  it('count once, and only within the session that was asked', async () => {
    const store = openStore();
    const a = await startNode({ backplane: store(), tools });
    const b = await startNode({ backplane: store(), tools });
    const { client } = await openSession(a.url);
    const victim = (await openSession(a.url, { capabilities: { sampling: {} } })).client;
    const { sse } = await victim.post(a.url, request(9, 'tools/call', { name: 'ask' }));
    const { message } = await sse.next(hasMethod('sampling/createMessage'));
    const id = String(message?.id);
    // The thief knows the id of the request. Its answer is accepted with 202, as any answer is that no request waits
    // for.
    for (const url of [a.url, b.url]) await client.respond(url, id, answered('forged'));
    for (const odd of ['0', 'nobody.1', `${id}0`, id.toUpperCase()]) {
      await victim.respond(b.url, odd, answered('odd'));
    }
    (await victim.post(b.url, response(0, answered('number')))).expect(202);
    await victim.respond(b.url, id, answered('true'));
    await victim.respond(b.url, id, answered('again'));
    expect((await sse.next()).message).toMatchObject({
      id: 9,
      result: { content: [{ text: expect.stringContaining('true') as unknown }] },
    });
  });
});

describe('bodies', () => {
  it('that never end, or break off, leave nothing behind', async () => {
    const { client, url, mcp, logged } = await startSession();
    const { hostname, port } = new URL(url);
    const head =
      'POST /mcp HTTP/1.1\r\nhost: localhost\r\naccept: application/json, text/event-stream\r\n' +
      `content-type: application/json\r\nmcp-session-id: ${client.sessionId ?? ''}\r\ncontent-length: 50\r\n\r\n{"js`;
    for (let at = 0; at < 5; at += 1) {
      const socket = connect(Number(port), hostname);
      await once(socket, 'connect');
      socket.write(head);
      await client.request(url, 'ping');
      socket.destroy();
    }
    await client.request(url, 'ping');
    expect(mcp.health()).toMatchObject({ inFlight: 0, streams: 0 });
    expect(logged).toEqual([]);
  });

  it('that are nested deeply do not overflow the stack', async () => {
    const { client, url } = await startSession();
    const deep = '['.repeat(100_000) + ']'.repeat(100_000);
    expect((await client.send('POST', url, deep)).status).toBe(400);
    const params = `{"jsonrpc":"2.0","id":1,"method":"no/such","params":{"a":${deep}}}`;
    expect((await client.send('POST', url, params)).json().error?.code).toBe(-32600);
    expect(await client.request(url, 'ping')).toMatchObject({ result: {} });
  });
});

it('a result that cannot be written as JSON ends its call with an error, and the node goes on', async () => {
  const { client, url, logged } = await startSession({ tools });
  const answer = await client.request(url, 'tools/call', { name: 'big' });
  expect(answer.error).toEqual({ code: -32603, message: 'Internal error' });
  expect(logged).toEqual([expect.stringContaining('the answer to tools/call is no JSON')]);
  expect(await client.request(url, 'ping')).toMatchObject({ result: {} });
});

describe('the header X-Anynode-Node', () => {
  it('names the node on every response, whatever its status', async () => {
    const { client, url, mcp } = await startSession();
    const answers = [
      await client.post(url, request(1, 'ping')),
      await client.get(url),
      await client.post(url, { jsonrpc: '2.0' }),
      await exchange('PUT', url, []),
      await exchange('POST', url, [['host', 'evil.example']]),
      await client.delete(url),
      await client.delete(url),
    ];
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 400, 405, 403, 200, 404]);
    expect(new Set(answers.map(({ node }) => node))).toEqual(new Set([mcp.nodeId]));
  });

  it('is absent with `nodeHeader: false`', async () => {
    const { client, url } = await startSession({ nodeHeader: false });
    for (const answer of [await client.post(url, request(1, 'ping')), await client.delete(url)]) {
      expect(answer.headers).not.toHaveProperty('x-anynode-node');
    }
  });
});
