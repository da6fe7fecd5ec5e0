/** What becomes of bodies that are made to stall a node. How long each takes is measured by `bench/loop-stalls.ts`. */
import { expect, it } from 'vitest';
import { HOSTILE } from '../../bench/hostile-bodies.js';
import { exchange } from './support/exchange.js';
import { openSession, startNode } from './support/serve.js';

/** Generous, for a machine that has other things to do. Before there were bounds, the first one took 5.6 s. */
const MOST_MS = 1_000;

const sent = HOSTILE.filter(({ as }) => as === 'handshake' || as === 'call');

it.each(sent)('$kind: $status, and in bounded time', async ({ as, body, status }) => {
  const { url, logged } = await startNode();
  const { client, sessionId } = await openSession(url);
  const given = body();
  const headers = {
    ...{ accept: 'application/json, text/event-stream', 'content-type': 'application/json' },
    ...(as === 'call' && { 'mcp-session-id': sessionId }),
    // Otherwise a refusal may be lost behind what its client still sends.
    connection: 'keep-alive',
  };
  const before = process.cpuUsage();
  const answer = await exchange('POST', url, Object.entries(headers), given);
  answer.close();
  expect(answer.status).toBe(status);
  expect(process.cpuUsage(before).user / 1000).toBeLessThan(MOST_MS);
  expect(await client.request(url, 'ping')).toMatchObject({ result: {} });
  expect(logged).toEqual([]);
});
