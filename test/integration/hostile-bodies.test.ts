/** Bodies that are made to stall a node. `bench/loop-stalls.ts` measures how long each takes. */
import type { CallToolResult } from '@modelcontextprotocol/sdk/types.js';
import { expect, it } from 'vitest';
import { HOSTILE } from '../../bench/hostile-bodies.js';
import { exchange } from './support/exchange.js';
import { openSession, startNode } from './support/serve.js';

/** A bound that allows for a busy machine. Before there were limits, the first body took 5.6 s. */
const MOST_MS = 1_000;

const sent = HOSTILE.filter(({ as }) => as === 'handshake' || as === 'call');

it.each(sent)('$kind gets $status within a bounded time', async ({ as, body, status }) => {
  const { url, logged } = await startNode();
  const { client, sessionId } = await openSession(url);
  const given = body();
  const headers = {
    ...{ accept: 'application/json, text/event-stream', 'content-type': 'application/json' },
    ...(as === 'call' && { 'mcp-session-id': sessionId }),
    // Otherwise a refusal may be lost behind the rest of the body that its client sends.
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

it('the node writes the large answers to one batch in several turns of the event loop', async () => {
  const most = 40;
  const text = 'x'.repeat(300_000);
  let begun = 0;
  let allBegun = (): void => undefined;
  const together = new Promise<void>((resolve) => (allBegun = resolve));
  let turn = 0;
  const writtenIn = new Set<number>();
  const nextTurn = (): void => {
    turn += 1;
    if (writtenIn.size < most && turn < 10_000) setImmediate(nextTurn);
  };
  const toJSON = (): object => {
    writtenIn.add(turn);
    return { text };
  };
  const large = async (): Promise<CallToolResult> => {
    begun += 1;
    if (begun === most) allBegun();
    await together;
    if (turn === 0) nextTurn();
    return { content: [], structuredContent: { toJSON } };
  };
  const { url } = await startNode({ responseMode: 'json', tools: { large } });
  const { client } = await openSession(url, { protocolVersion: '2025-03-26' });
  const batch = Array.from({ length: most }, (_, id) => ({
    ...{ jsonrpc: '2.0' as const, id, method: 'tools/call' },
    params: { name: 'large', arguments: {} },
  }));
  const answer = await client.post(url, batch);
  expect(answer.status).toBe(200);
  expect(answer.json()).toHaveLength(most);
  expect(writtenIn.size).toBe(most);
});
