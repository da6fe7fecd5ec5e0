import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { describe, expect, it, onTestFinished } from 'vitest';
import { answers, hasMethod, RawClient, type JsonRpc } from '../support/mcp-http.js';

type Answer = (req: IncomingMessage, res: ServerResponse, body: string) => void;

/** A server that answers as the test decides, and its client. */
async function serve(answer: Answer): Promise<{ url: string; client: RawClient }> {
  const server = createServer((req, res) => {
    void text(req).then((body) => answer(req, res, body));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = new RawClient();
  onTestFinished(() => {
    client.close();
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, client };
}

function stream(res: ServerResponse, written = ''): void {
  res.writeHead(200, { 'content-type': 'text/event-stream' });
  res.write(written || ': \n\n');
}

const note = (method: string): string => JSON.stringify({ jsonrpc: '2.0', method });

describe('SseReader', () => {
  it('reads comments, cursors, retry times and events, wherever chunks are cut', async () => {
    const wire =
      `: hello\n\nid: c1\nretry: 50\ndata: \n\n` +
      `id: c2\nevent: message\ndata: ${note('ä')}\n\n: ping\n\ndata: {"jsonrpc":"2.0",\ndata: "method":"b"}\n\n`;
    const { url, client } = await serve((_req, res) => {
      stream(res);
      for (const byte of Buffer.from(wire)) res.write(Buffer.of(byte));
      res.end();
    });
    const reader = await client.listen(url);
    expect(await reader.ended).toBe('end');
    expect(reader.comments.slice(1)).toEqual(['hello', 'ping']);
    expect(reader.retries).toEqual([50]);
    expect(reader.primings).toMatchObject([{ id: 'c1', retry: 50 }]);
    expect(reader.events).toMatchObject([
      { id: 'c2', event: 'message', retry: undefined, message: { method: 'ä' } },
      { id: undefined, message: { method: 'b' } },
    ]);
    expect(reader.messages).toHaveLength(2);
    expect(reader.lastEventId).toBe('c2');
  });

  it('returns each event once, and keeps events that a search skips', async () => {
    const { url, client } = await serve((_req, res) => {
      stream(res, ['a', 'b', 'a'].map((m, i) => `id: ${i}\ndata: ${note(m)}\n\n`).join(''));
    });
    const reader = await client.listen(url);
    expect((await reader.next(hasMethod('b'))).id).toBe('1');
    expect((await reader.next()).id).toBe('0');
    expect((await reader.next(hasMethod('a'))).id).toBe('2');
    await expect(reader.next(undefined, 20)).rejects.toThrow(/within 20 ms. 3 events came/);
    reader.close();
    expect(await reader.ended).toBe('closed');
  });

  it('distinguishes a cut stream from one that was ended', async () => {
    const { url, client } = await serve((_req, res) => {
      stream(res);
      res.write(': \n\n', () => res.destroy());
    });
    const reader = await client.listen(url);
    await expect(reader.next(answers(1))).rejects.toThrow(/the stream is over \(cut\)/);
    expect(await reader.ended).toBe('cut');
  });

  it('closes the socket, so that the server sees that the client has left', async () => {
    let closed: Promise<unknown> | undefined;
    const { url, client } = await serve((_req, res) => {
      closed = once(res, 'close');
      stream(res);
    });
    const reader = await client.listen(url);
    reader.close();
    await closed;
  });
});

describe('RawClient', () => {
  it('keeps the session and its revision, and sends both with every later step', async () => {
    const seen: { body: JsonRpc; session: unknown; version: unknown }[] = [];
    const { url, client } = await serve((req, res, body) => {
      const message = JSON.parse(body) as JsonRpc;
      const { 'mcp-session-id': session, 'mcp-protocol-version': version } = req.headers;
      expect(req.url).toBe('/mcp');
      seen.push({ body: message, session, version });
      if (message.id === undefined) {
        res.writeHead(202).end();
        return;
      }
      const answer = { jsonrpc: '2.0', id: message.id, result: { protocolVersion: '2025-06-18' } };
      res.setHeader('mcp-session-id', 's1');
      if (message.method === 'initialize') {
        res.setHeader('content-type', 'application/json').end(JSON.stringify(answer));
      } else {
        stream(res, `data: ${note('progress')}\n\ndata: ${JSON.stringify(answer)}\n\n`);
      }
    });
    await client.initialize(url);
    expect(await client.request(url, 'tools/list')).toMatchObject({ id: 2 });
    expect(seen).toMatchObject([
      { body: { method: 'initialize', params: { protocolVersion: '2025-11-25' } } },
      { body: { method: 'notifications/initialized' }, session: 's1', version: '2025-06-18' },
      { body: { method: 'tools/list' }, session: 's1', version: '2025-06-18' },
    ]);
    expect(seen[0]?.session).toBeUndefined();
  });

  it('reports the server’s response when a step fails', async () => {
    const { url, client } = await serve((_req, res) => res.writeHead(404).end('Session not found'));
    await expect(client.request(url, 'tools/list')).rejects.toMatchObject({
      status: 404,
      message: 'Expected 200, got 404 Session not found',
    });
    await expect(client.listen(url)).rejects.toMatchObject({ status: 404 });
    expect((await client.delete(url)).status).toBe(404);
  });

  it('can abort a request before there is a response', async () => {
    const { url, client } = await serve(() => undefined);
    const abort = new AbortController();
    const given = client.post(url, { jsonrpc: '2.0', method: 'x' }, { signal: abort.signal });
    abort.abort();
    await expect(given).rejects.toMatchObject({ name: 'AbortError' });
  });
});
