import { once } from 'node:events';
import { createRequire } from 'node:module';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type express from 'express';
import type { RequestHandler } from 'express';
import { describe, expect, it, onTestFinished } from 'vitest';
import { rawClient, startNode } from '../integration/support/serve.js';
import { request } from '../support/mcp-http.js';

// The body parsers of Express 4 leave `{}` behind for a content type that is not theirs. Once something in front had
// waited, `req.complete` was true though nobody had read the body, and `{}` was taken for what the client had sent.
it('a node reads a body that a parser of another type has passed over, however late', async () => {
  // It comes without types; what is used of it here is the same in both.
  const { urlencoded } = createRequire(import.meta.url)('express4') as typeof express;
  const later: RequestHandler = (_req, _res, next) => void setTimeout(next, 20);
  const before = [urlencoded({ extended: true }), later];
  const { url } = await startNode({ mount: { express: 4, before } });
  const client = rawClient();
  expect(await client.initialize(url)).toMatchObject({ result: {} });
});

const after = (ms: number, next: () => void): void => void setTimeout(next, ms);

/** What middleware in front may do to a request before the node gets it. */
const FRONTS: Record<string, RequestHandler> = {
  // The pieces were texts, which are not put together like bytes: that was thrown where nobody caught it, and ended the
  // process. A body that came as a whole was read as a text, and then waited for once more.
  'asks for texts': (req, _res, next) => {
    req.setEncoding('utf8');
    next();
  },
  'asks for texts right after': (req, _res, next) => {
    next();
    req.setEncoding('utf8');
  },
  'asks for another encoding': (req, _res, next) => {
    req.setEncoding('hex');
    next();
  },
  // A listener alone does not set it going again: the request was never answered.
  'has paused it': (req, _res, next) => {
    req.pause();
    next();
  },
  // Set going meanwhile, it is read piece by piece: the first one was taken for all of it.
  'is late, and listens right after': (req, _res, next) =>
    after(60, () => {
      next();
      req.on('data', () => undefined);
    }),
  'is late, and reads right after': (req, _res, next) =>
    after(60, () => {
      next();
      req.on('readable', () => {
        while (req.read() !== null);
      });
    }),
};

describe.each(Object.entries(FRONTS))('middleware in front that %s', (_, front) => {
  it.each([
    ['at once', ['Content-Length: '], 0],
    ['in two pieces', ['Content-Length: '], 40],
    ['in chunks', ['Transfer-Encoding: chunked'], 40],
  ])(
    'does not keep the node from reading a body that comes %s',
    async (_how, [header = ''], cut) => {
      const { url } = await startNode({ mount: { before: [front] } });
      const socket = connect(Number(new URL(url).port), '127.0.0.1');
      onTestFinished(() => void socket.destroy());
      await once(socket, 'connect');
      let text = '';
      socket.on('data', (chunk) => (text += String(chunk)));
      const params = { protocolVersion: '2025-11-25', capabilities: {} };
      const clientInfo = { name: 'raw', version: '1' };
      const body = JSON.stringify(request(1, 'initialize', { ...params, clientInfo }));
      const head = ['POST /mcp HTTP/1.1', 'Host: localhost', 'Content-Type: application/json'];
      const accept = 'Accept: application/json, text/event-stream';
      const chunked = header.startsWith('Transfer');
      const length = chunked ? header : `${header}${body.length}`;
      const framed = (part: string): string =>
        chunked ? `${part.length.toString(16)}\r\n${part}\r\n` : part;
      const pieces = [body.slice(0, cut), body.slice(cut)].filter((part) => part !== '');
      const [first = '', ...rest] = pieces.map(framed);
      socket.write([...head, accept, length, '', first].join('\r\n'));
      for (const piece of rest) {
        await sleep(20);
        socket.write(piece);
      }
      if (chunked) socket.write('0\r\n\r\n');
      await expect.poll(() => text).toContain('"result"');
    },
  );
});
