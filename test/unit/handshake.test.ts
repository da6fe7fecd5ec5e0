/** How long a server behind HTTP may take for the steps of a handshake, for which other requests wait. */
import { expect, it } from 'vitest';
import { intercept } from '../../src/intercept/intercept.js';
import type { JsonRpcMessage } from '../../src/protocol/json/jsonrpc.js';
import type { ServerTransport } from '../../src/options/public-types.js';
import {
  answerJson,
  event,
  logLine,
  puppet,
  stream,
  type PuppetOptions,
} from '../integration/support/puppet.js';
import { listen } from '../integration/support/serve.js';
import { ManualClock } from './support/manual-clock.js';

const request = (id: number, method: string, params = {}): JsonRpcMessage => ({
  jsonrpc: '2.0',
  id,
  method,
  params: { protocolVersion: '2025-11-25', ...params },
});

/** A server object for a puppet, with a clock that the test controls. */
async function connected(options: PuppetOptions) {
  const clock = new ManualClock();
  const made = puppet(options);
  const logger = { warn: () => undefined, error: () => undefined };
  const upstream = new URL(await listen(made.app));
  const parts = { clock, logger, timeoutMs: 1000, messageBytes: 1_000_000 };
  const interception = intercept({ upstream }, parts);
  const sent: JsonRpcMessage[] = [];
  const transport: ServerTransport = {
    start: () => Promise.resolve(),
    close: () => Promise.resolve(),
    send: (message: JsonRpcMessage) => {
      sent.push(message);
      return Promise.resolve();
    },
  };
  const server = interception.factory({} as Parameters<typeof interception.factory>[0], undefined);
  await server.connect(transport);
  const deliver = (message: JsonRpcMessage): void => transport.onmessage?.(message);
  const answerTo = (id: number) => sent.find((message) => 'id' in message && message.id === id);
  return { ...made, clock, deliver, answerTo };
}

const LOST = { error: { code: -32000, data: { reason: 'server_lost' } } };

it.each<[string, PuppetOptions['onInitialize']]>([
  ['nothing', () => undefined],
  ['a stream that says nothing', (res) => void stream(res, ': wait\n\n')],
  ['white space', (res) => void res.setHeader('content-type', 'application/json').write(' ')],
  ['a stream that talks of something else', (res) => void stream(res, event(logLine('hm')))],
])('an initialize that is answered with %s ends after 30 s', async (_, onInitialize) => {
  const { clock, deliver, answerTo, seen } = await connected({
    ...(onInitialize && { onInitialize }),
  });
  deliver(request(1, 'initialize'));
  await expect.poll(() => seen.length).toBe(1);
  await clock.advance(29_000);
  expect(answerTo(1)).toBeUndefined();
  await clock.advance(2000);
  await expect.poll(() => answerTo(1)).toMatchObject(LOST);
});

// The node waited for the rest of an answer as long as for one that had not begun, and forever if it was a call's.
it('an incomplete answer of a silent server ends after `upstreamTimeoutMs`', async () => {
  const { clock, deliver, answerTo, seen } = await connected({
    onInitialize: (res) => void res.setHeader('content-type', 'application/json').write('{'),
  });
  deliver(request(1, 'initialize'));
  await expect.poll(() => seen.length).toBe(1);
  const began = clock.now();
  await expect
    .poll(async () => {
      await clock.advance(100);
      return answerTo(1);
    })
    .toMatchObject(LOST);
  expect(clock.now() - began).toBeLessThan(10_000);
});

// This wait had no limit. With a server that lost its session and then kept silent, all calls waited forever.
it('fails requests that wait for a private session whose log level gets no answer', async () => {
  let forgotten = false;
  const made = await connected({
    onCall: (res) => {
      forgotten = true;
      res.writeHead(404).end();
    },
    onOther: (res, { message }) => {
      if (forgotten) stream(res, ': wait\n\n');
      else answerJson(res, { jsonrpc: '2.0', id: message?.id, result: {} });
    },
  });
  const { clock, deliver, answerTo, seen } = made;
  deliver(request(1, 'initialize'));
  deliver({ jsonrpc: '2.0', method: 'notifications/initialized' });
  deliver(request(2, 'logging/setLevel', { level: 'error' }));
  await expect.poll(() => answerTo(2)).toMatchObject({ result: {} });
  deliver(request(3, 'tools/call', { name: 'any' }));
  const levels = () => seen.filter(({ message }) => message?.method === 'logging/setLevel').length;
  await expect.poll(levels).toBe(2);
  await clock.advance(29_000);
  expect(answerTo(3)).toBeUndefined();
  await clock.advance(2000);
  await expect.poll(() => answerTo(3)).toMatchObject(LOST);
});
