/** Bodies that are compressed: those of requests, and those of servers behind HTTP. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { brotliCompressSync, createGzip, deflateRawSync, deflateSync, gzipSync } from 'node:zlib';
import { constants } from 'node:zlib';
import express, { type RequestHandler } from 'express';
import { describe, expect, it, onTestFinished } from 'vitest';
import { request } from '../support/mcp-http.js';
import { exchange } from './support/exchange.js';
import { openSession, startNode } from './support/serve.js';
import { INITIALIZE } from './support/side-by-side.js';

const HEADERS = {
  accept: 'application/json, text/event-stream',
  'content-type': 'application/json',
};
const TEXT = JSON.stringify(INITIALIZE);

describe('requests', () => {
  const post = async (coding: string, body: Buffer, maxBodyBytes = 100_000) => {
    const { url } = await startNode({ maxBodyBytes, responseMode: 'json' });
    const lines = Object.entries({ ...HEADERS, 'content-encoding': coding });
    return exchange('POST', url, lines, body);
  };

  it.each([
    ['gzip', gzipSync(TEXT)],
    ['GZIP', gzipSync(TEXT)],
    ['x-gzip', gzipSync(TEXT)],
    ['deflate', deflateSync(TEXT)],
    ['deflate', deflateRawSync(TEXT)],
    ['br', brotliCompressSync(TEXT)],
    ['identity', Buffer.from(TEXT)],
  ])('%s is read', async (coding, body) => {
    const answer = await post(coding, body);
    expect([answer.status, JSON.parse(answer.body)]).toMatchObject([200, { result: {} }]);
  });

  it.each(['zstd', 'gzip, br', 'constructor'])(
    '%s is refused, and what is read is named',
    async (coding) => {
      const answer = await post(coding, Buffer.from(TEXT));
      expect(answer.status).toBe(415);
      expect(answer.headers['accept-encoding']).toBe('gzip, deflate, br');
      expect(answer.body).toContain('Content-Encoding');
    },
  );

  it.each(['gzip', 'deflate', 'br'])('what is no %s is refused as such', async (coding) => {
    const answer = await post(coding, Buffer.from(TEXT));
    expect([answer.status, answer.body]).toEqual([400, expect.stringContaining('-32700')]);
    expect(answer.body).toContain('Content-Encoding');
  });

  it('a small body that becomes a large one is refused at the limit', async () => {
    const bomb = Buffer.alloc(50_000_000, ' ');
    for (const [coding, body] of [
      ['gzip', gzipSync(bomb)],
      ['deflate', deflateSync(bomb)],
      ['br', brotliCompressSync(bomb, { params: { [constants.BROTLI_PARAM_QUALITY]: 4 } })],
    ] as const) {
      expect((await post(coding, body, 60_000)).status).toBe(413);
    }
  });

  // It was taken for JSON as it was: serverless adapters leave the bytes of the body in `req.body`.
  it('a body that is handed over as it came is read, within the limit', async () => {
    const take: RequestHandler = (req, _res, next) => {
      void buffer(req).then((body) => {
        req.body = body;
        next();
      });
    };
    const mount = { before: [take] };
    const { url } = await startNode({ mount, responseMode: 'json', maxBodyBytes: 1000 });
    const statusOf = async (coding: string, body: Buffer) => {
      const lines = Object.entries({ ...HEADERS, 'content-encoding': coding });
      return (await exchange('POST', url, lines, body)).status;
    };
    expect(await statusOf('gzip', gzipSync(TEXT))).toBe(200);
    expect(await statusOf('gzip', gzipSync(Buffer.alloc(1001, ' ')))).toBe(413);
    expect(await statusOf('gzip', gzipSync(TEXT).subarray(0, 40))).toBe(400);
    expect(await statusOf('zstd', gzipSync(TEXT))).toBe(415);
    // The twin: it was decompressed in front, and the header was left as it was.
    expect(await statusOf('gzip', Buffer.from(TEXT))).toBe(200);
  });

  it('a body that a parser in front has read is used as it is', async () => {
    const { url } = await startNode({ mount: { before: [express.json()] }, responseMode: 'json' });
    const lines = Object.entries({ ...HEADERS, 'content-encoding': 'gzip' });
    expect((await exchange('POST', url, lines, gzipSync(TEXT))).status).toBe(200);
  });
});

// They were read as they came: no JSON, and no events.
describe.each([
  ['gzip', gzipSync],
  ['deflate', deflateSync],
  ['br', brotliCompressSync],
] as const)('a server at `upstream` that compresses, %s', (coding, compress) => {
  async function start(answer: (message: object) => { type: string; text: string }, status = 200) {
    const asked: (string | undefined)[] = [];
    const server = createServer((req, res) => {
      if (req.method !== 'POST') {
        res.writeHead(405).end();
        return;
      }
      asked.push(req.headers['accept-encoding']?.toString());
      const pieces: Buffer[] = [];
      req.on('data', (piece: Buffer) => pieces.push(piece));
      req.on('end', () => {
        const { id, method } = JSON.parse(Buffer.concat(pieces).toString()) as Record<
          string,
          unknown
        >;
        if (id === undefined) {
          res.writeHead(202).end();
          return;
        }
        const info = { name: 'other', version: '1' };
        const begun = { protocolVersion: '2025-11-25', capabilities: {}, serverInfo: info };
        const result = method === 'initialize' ? begun : { text: 'x'.repeat(1000) };
        const { type, text } = answer({ jsonrpc: '2.0', id, result });
        const head = { 'content-type': type, 'content-encoding': coding, 'mcp-session-id': 's' };
        res.writeHead(status, head).end(compress(text));
      });
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    onTestFinished(() => {
      server.close();
      server.closeAllConnections();
    });
    const { port } = server.address() as AddressInfo;
    const upstream = `http://127.0.0.1:${port}/mcp`;
    const node = await startNode({ server: undefined, upstream });
    return { ...node, asked };
  }

  it.each([
    ['JSON', (message: object) => ({ type: 'application/json', text: JSON.stringify(message) })],
    [
      'events',
      (message: object) => ({
        type: 'text/event-stream',
        text: `: hi\n\ndata: ${JSON.stringify(message)}\n\n`,
      }),
    ],
  ])('its answers are read: %s', async (_, answer) => {
    const { url, asked, logged } = await start(answer);
    const { client } = await openSession(url);
    const { result } = await client.request(url, 'tools/list');
    expect(result).toEqual({ text: 'x'.repeat(1000) });
    expect(new Set(asked)).toEqual(new Set(['identity']));
    expect(logged).toEqual([]);
  });

  it('what it says of a refusal is read', async () => {
    const error = { code: -32000, message: 'not today' };
    const text = JSON.stringify({ jsonrpc: '2.0', id: null, error });
    const { url } = await start(() => ({ type: 'application/json', text }), 403);
    const answer = await exchange('POST', url, Object.entries(HEADERS), TEXT);
    expect([answer.status, answer.body]).toEqual([403, text]);
  });
});

it('each event of a compressed stream arrives when it was sent', async () => {
  const zip = createGzip({ flush: constants.Z_SYNC_FLUSH });
  const { url } = await startNode({
    server: undefined,
    handler: express().use(express.json(), (req, res) => {
      const { id, method } = (req.body ?? {}) as Record<string, unknown>;
      if (req.method !== 'POST' || id === undefined) {
        res.status(req.method === 'POST' ? 202 : 405).end();
        return;
      }
      const say = (message: object) =>
        `data: ${JSON.stringify({ jsonrpc: '2.0', ...message })}\n\n`;
      if (method === 'initialize') {
        const serverInfo = { name: 'other', version: '1' };
        const result = { protocolVersion: '2025-11-25', capabilities: {}, serverInfo };
        res.json({ jsonrpc: '2.0', id, result });
        return;
      }
      res.writeHead(200, { 'content-type': 'text/event-stream', 'content-encoding': 'gzip' });
      zip.pipe(res);
      zip.write(say({ method: 'notifications/message', params: { level: 'info', data: 'first' } }));
    }),
  });
  const { client } = await openSession(url);
  const { sse } = await client.post(url, request(9, 'tools/call', { name: 'x' }));
  expect((await sse.next()).message?.params).toMatchObject({ data: 'first' });
  zip.end(`data: ${JSON.stringify({ jsonrpc: '2.0', id: 9, result: { done: true } })}\n\n`);
  await sse.untilEnded();
  expect(sse.messages.at(-1)).toMatchObject({ id: 9, result: { done: true } });
});
