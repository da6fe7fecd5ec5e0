/** Clients that send requests on one connection without waiting for the answers. */
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { connect } from 'node:net';
import type { Response } from 'express';
import express from 'express';
import { expect, it, onTestFinished } from 'vitest';
import { ResponseClosing } from '../../src/http/response/response-closing.js';
import { SseConnection } from '../../src/http/response/sse-response.js';
import { SharedTimer } from '../../src/protocol/timing/shared-timer.js';
import { Cursors } from '../../src/stream/cursor.js';
import { listen, startSession } from '../integration/support/serve.js';
import { request } from '../support/mcp-http.js';
import { ManualClock } from '../unit/support/manual-clock.js';

interface Connection {
  socket: Socket;
  /** All bytes that have come back. */
  text: () => string;
}

async function dial(url: string): Promise<Connection> {
  const socket = connect(Number(new URL(url).port), '127.0.0.1');
  onTestFinished(() => void socket.destroy());
  await once(socket, 'connect');
  let text = '';
  socket.on('data', (chunk) => (text += String(chunk)));
  return { socket, text: () => text };
}

function http(method: string, sessionId: string, body = ''): string {
  return [
    `${method} /mcp HTTP/1.1`,
    'Host: localhost',
    'Accept: application/json, text/event-stream',
    'Content-Type: application/json',
    `Mcp-Session-Id: ${sessionId}`,
    `Content-Length: ${Buffer.byteLength(body)}`,
    ...['', body],
  ].join('\r\n');
}

const call = (id: number, name: string): string =>
  JSON.stringify(request(id, 'tools/call', { name, arguments: {} }));

/** Opens a session with a running call, and returns how to end the call. */
async function busySession() {
  let started = (): void => undefined;
  let finish = (): void => undefined;
  const running = new Promise<void>((resolve) => (started = resolve));
  const finished = new Promise<void>((resolve) => (finish = resolve));
  const wait = async (): Promise<string> => {
    started();
    await finished;
    return 'done';
  };
  const session = await startSession({
    standaloneStream: 'reject',
    limits: { streamsPerSession: 3 },
    tools: { wait },
  });
  onTestFinished(() => finish());
  return { ...session, running, finish };
}

// Node closes the response whose turn it is, and no other. What waited behind it kept its place among the session's
// streams, and its follower, until the node ended: the session's next GET was refused, or waited for.
it('a response that waits behind another one ends with the connection', async () => {
  const { url, client, mcp, sessionId, running } = await busySession();
  const { socket } = await dial(url);
  const more = [http('GET', sessionId), http('POST', sessionId, call(51, 'wait'))];
  socket.write([http('POST', sessionId, call(50, 'wait')), ...more].join(''));
  await running;
  // Before, a GET would take the place of the one that waits.
  await expect.poll(() => mcp.health().streams).toBe(3);
  expect((await client.get(url)).status).toBe(429); // three streams are open
  socket.destroy();
  const statusOfGet = async (): Promise<number> => {
    const answer = await client.get(url);
    answer.close();
    return answer.status;
  };
  await expect.poll(statusOfGet).toBe(200); // with `reject`: nobody holds the stream
});

it('many pipelined requests are answered in order, without a warning', async () => {
  const warnings: Error[] = [];
  const onWarning = (warning: Error): void => void warnings.push(warning);
  process.on('warning', onWarning);
  onTestFinished(() => void process.off('warning', onWarning));
  const { url, sessionId } = await startSession();
  const { socket, text } = await dial(url);
  const ids = Array.from({ length: 20 }, (_, at) => 100 + at);
  socket.write(ids.map((id) => http('POST', sessionId, call(id, 'echo'))).join(''));
  const answered = () => [...text().matchAll(/"id":(\d+)/g)].map(([, id]) => Number(id));
  await expect.poll(answered).toEqual(ids);
  expect(warnings).toEqual([]);
});

// It counted as not read by its client, and was cut after ten seconds, together with all that came after it.
it('an answer may wait as long as the one before it takes', async () => {
  const clock = new ManualClock();
  const settings = {
    ...{ keepAliveMs: 0, retryMs: 1000, maxStreamAgeMs: 0, maxBufferedBytes: 1000 },
    ...{ stalledMs: 0, clock, soon: new SharedTimer(clock, 10), onOld: () => undefined },
    logger: console,
  };
  const responses: Response[] = [];
  let arrived = (): void => undefined;
  const both = new Promise<void>((resolve) => (arrived = resolve));
  const app = express().use((_req, res) => {
    if (responses.push(res) === 2) arrived();
  });
  const { socket, text } = await dial(await listen(app));
  socket.write(http('POST', '', '{}') + http('POST', '', '{}'));
  await both;

  const [first, second] = responses as [Response, Response];
  const stream = { sessionId: 'abc', name: 's', cursors: new Cursors('abc'), isGet: false };
  const connection = new SseConnection(
    second,
    new ResponseClosing(second),
    stream,
    settings,
    () => undefined,
  );
  connection.open(undefined);
  connection.write({ position: { n: 1, logId: '1-0' }, message: 'the answer', end: true });
  connection.end('complete');
  await clock.advance(60_000);
  first.end('the one before');

  await expect.poll(text).toMatch(/the one before[^]*the answer/);
});
