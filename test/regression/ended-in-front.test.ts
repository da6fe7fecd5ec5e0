/** Middleware in front of the node begins or ends a response itself, for instance at a timeout. */
import { IncomingMessage, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import type { RequestHandler, Response } from 'express';
import express from 'express';
import { expect, it } from 'vitest';
import type { EndpointHandle } from '../../src/http/endpoint.js';
import { replyInParts } from '../../src/http/response/response.js';
import { LegacyConnection } from '../../src/legacy-sse/legacy-connection.js';
import { say } from '../integration/support/scripted-server.js';
import { listen, rawClient, startSession } from '../integration/support/serve.js';
import { request } from '../support/mcp-http.js';
import { ManualClock } from '../unit/support/manual-clock.js';

/** Captures the response to the latest POST. */
function capture(): { front: RequestHandler; response: () => Response } {
  let last: Response | undefined;
  const front: RequestHandler = (_req, res, next) => {
    last = res;
    next();
  };
  return {
    front,
    response: () => {
      if (last === undefined) throw new Error('There was no request');
      return last;
    },
  };
}

// Until the connection had taken the end, which takes a slow reader long, what the server said was written after it.
// That is an error of the response, which nobody listened for: it ended the process.
it('a message after the end of a response is not written', async () => {
  const { front, response } = capture();
  const { url, client } = await startSession({
    mount: { before: [front] },
    tools: {
      talk: async ({ extra }) => {
        await say(extra, 'before');
        response().end();
        await say(extra, 'after');
        return 'done';
      },
    },
  });
  const { sse } = await client.post(url, request(50, 'tools/call', { name: 'talk' }));
  await sse.untilEnded();
  expect(await client.request(url, 'ping')).toMatchObject({ result: {} });
});

it('a message after the end of an HTTP+SSE connection is not written', async () => {
  const app = express().use((_req, res) => {
    const connection = new LegacyConnection(res, {
      ...{
        keepAliveMs: 0,
        retryMs: 1000,
        maxBufferedBytes: 1000,
        clock: new ManualClock(),
        logger: console,
      },
      ...{
        onClose: () => undefined,
        onEnd: () => undefined,
        onRestart: () => undefined,
        onOpener: () => undefined,
      },
    });
    connection.open('/messages');
    res.end();
    connection.write({ position: { n: 1, logId: '1-0' }, message: 'after', end: false });
    connection.end('hangup');
  });
  const { sse } = await rawClient().get(await listen(app));
  await sse.untilEnded();
});

// The answer was thrown at what had been sent, and the rest that is done at the end of a connection was left out.
it('a call whose answer comes after the end leaves nothing behind', async () => {
  const { front, response } = capture();
  const { mcp, url, client, sessionId } = await startSession({
    responseMode: 'json',
    mount: { before: [front] },
    tools: {
      slow: () => {
        response().status(503).end('too slow');
        return 'done';
      },
    },
  });
  const answer = await client.post(url, request(50, 'tools/call', { name: 'slow' }));
  expect(answer).toMatchObject({ status: 503, body: 'too slow' });
  expect((mcp as Partial<EndpointHandle>).endpoint?.node.followers.ofSession(sessionId)).toEqual(
    [],
  );
});

// A large body is sent in parts, one of which was written after the end where its connection had not taken that yet: here
// since it still shows the response to an earlier request.
it('a part of a large JSON body after the end is not written', async () => {
  const res = new ServerResponse(new IncomingMessage(new Socket())) as Response;
  const errors: unknown[] = [];
  res.on('error', (error) => errors.push(error));
  replyInParts(res, {}, ['[', 'x'.repeat(2 * 1024 * 1024), ']']);
  res.end();
  for (let turn = 0; turn < 3; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  expect(errors).toEqual([]);
});
