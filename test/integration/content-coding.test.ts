/** Compressed bodies of requests, and of the answers of servers behind HTTP. */
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

describe('a compressed request', () => {
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
  ])('is read: %s', async (coding, body) => {
    const answer = await post(coding, body);
    expect([answer.status, JSON.parse(answer.body)]).toMatchObject([200, { result: {} }]);
  });

  it.each(['zstd', 'gzip, br', 'constructor'])(
    'is refused, and the answer names the codings that are read: %s',
    async (coding) => {
      const answer = await post(coding, Buffer.from(TEXT));
      expect(answer.status).toBe(415);
      expect(answer.headers['accept-encoding']).toBe('gzip, deflate, br');
      expect(answer.body).toContain('Content-Encoding');
    },
  );

  it.each(['gzip', 'deflate', 'br'])(
    'gets 400 if it is not the %s that it names',
    async (coding) => {
      const answer = await post(coding, Buffer.from(TEXT));
      expect([answer.status, answer.body]).toEqual([400, expect.stringContaining('-32700')]);
      expect(answer.body).toContain('Content-Encoding');
    },
  );

  it('is refused with 413 if its decompressed body is above the limit', async () => {
    const bomb = Buffer.alloc(50_000_000, ' ');
    for (const [coding, body] of [
      ['gzip', gzipSync(bomb)],
      ['deflate', deflateSync(bomb)],
      ['br', brotliCompressSync(bomb, { params: { [constants.BROTLI_PARAM_QUALITY]: 4 } })],
    ] as const) {
      expect((await post(coding, body, 60_000)).status).toBe(413);
    }
  });

  // Bug: the bytes of a body that a serverless adapter leaves in `req.body` were taken for uncompressed JSON.
  it('whose bytes are handed over in `req.body` is decompressed, within the limit', async () => {
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
    // The twin: a parser in front has decompressed the body and left the header.
    expect(await statusOf('gzip', Buffer.from(TEXT))).toBe(200);
  });

  it('whose body a parser in front has read is used as it is', async () => {
    const { url } = await startNode({ mount: { before: [express.json()] }, responseMode: 'json' });
    const lines = Object.entries({ ...HEADERS, 'content-encoding': 'gzip' });
    expect((await exchange('POST', url, lines, gzipSync(TEXT))).status).toBe(200);
  });
});

// Bug: compressed answers were read as they came, and were neither JSON nor events.
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
  ])('gets its answers read: %s', async (_, answer) => {
    const { url, asked, logged } = await start(answer);
    const { client } = await openSession(url);
    const { result } = await client.request(url, 'tools/list');
    expect(result).toEqual({ text: 'x'.repeat(1000) });
    expect(new Set(asked)).toEqual(new Set(['identity']));
    expect(logged).toEqual([]);
  });

  it('gets the text of its refusal read', async () => {
    const error = { code: -32000, message: 'not today' };
    const text = JSON.stringify({ jsonrpc: '2.0', id: null, error });
    const { url } = await start(() => ({ type: 'application/json', text }), 403);
    const answer = await exchange('POST', url, Object.entries(HEADERS), TEXT);
    expect([answer.status, answer.body]).toEqual([403, text]);
  });
});

it('gets each event of a compressed stream passed on as soon as it arrives', async () => {
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
