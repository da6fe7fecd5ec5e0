/** Clients of nodes whose audit trail cannot be delivered. */
import express from 'express';
import { describe, expect, it } from 'vitest';
import type { AuditRecord } from '../../src/audit/index.js';
import { legacySse } from '../../src/legacy-sse/index.js';
import { newGate } from '../integration/support/gate.js';
import { listen, openSession, rawClient, startNode, STORES } from '../integration/support/serve.js';
import { hasMethod, notification, request } from '../support/mcp-http.js';
import type { RawResponse } from '../support/mcp-http.js';

const BIG = 'x'.repeat(20_000);
const ROOM = 15_000;

/** A sink that is away until the test lets it take records. */
function absentSink() {
  const records: AuditRecord[] = [];
  let isAway = true;
  return {
    records,
    comeBack: () => (isAway = false),
    sink: (batch: readonly AuditRecord[]) => {
      if (isAway) throw new Error('The sink is away');
      records.push(...batch);
    },
  };
}

function expectRefusal(answer: RawResponse): void {
  expect(answer.status).toBe(503);
  expect(answer.headers['retry-after']).toBe('5');
  expect(answer.json()).toEqual({
    jsonrpc: '2.0',
    id: null,
    error: { code: -32000, message: 'Service Unavailable: The audit trail cannot be written' },
  });
}

const callOf = (id: number, name: string) => request(id, 'tools/call', { name, arguments: {} });

describe.each(STORES)('over %s, while the sink is away', (_, open) => {
  it('a session at its bound gets 503 for what begins, and goes on with the rest', async () => {
    const { records, comeBack, sink } = absentSink();
    const gate = newGate();
    let runs = 0;
    const node = await startNode({
      backplane: open()(),
      audit: { sink, maxSessionBytes: ROOM },
      tools: {
        big: () => BIG,
        wait: async () => {
          await gate.opened;
          return 'done';
        },
        count: () => `${(runs += 1)}`,
      },
    });
    const { client, sessionId } = await openSession(node.url);
    const stream = await client.listen(node.url);
    const waiting = await client.post(node.url, callOf(7, 'wait'));
    await client.request(node.url, 'tools/call', { name: 'big' });

    expectRefusal(await client.post(node.url, callOf(8, 'count')));
    expectRefusal(await client.post(node.url, [callOf(9, 'count'), callOf(10, 'count')]));
    expectRefusal(await client.post(node.url, notification('notifications/roots/list_changed')));
    expect(runs).toBe(0);
    const other = await openSession(node.url);
    await other.client.request(node.url, 'tools/call', { name: 'count' });
    expect(runs).toBe(1);

    gate.open();
    expect(await waiting.answer(7)).toMatchObject({ result: { content: [{ text: 'done' }] } });
    await node.mcp.session(sessionId).notify({ method: 'notifications/tools/list_changed' });
    await stream.next(hasMethod('notifications/tools/list_changed'));
    const ofAudit = node.logged.filter((text) => text.includes('refused with 503'));
    expect(ofAudit).toEqual([
      'mcp-anynode: a client was refused with 503. ' +
        'Too much waits for the audit trail: its sink, or the archiver, does not keep up',
    ]);

    comeBack();
    await expect
      .poll(async () => (await client.post(node.url, callOf(11, 'count'))).status, {
        timeout: 10_000,
      })
      .toBe(200);
    const isEnd = ({ requestId, outcome }: AuditRecord) => requestId === 11 && outcome === 'ok';
    await expect.poll(() => records.find(isEnd), { timeout: 10_000 }).toBeDefined();
    const ids = records
      .filter(({ session, direction }) => session === sessionId && direction === 'in')
      .map(({ requestId }) => requestId);
    expect(ids).toContain(7);
    expect([8, 9, 10].filter((id) => ids.includes(id))).toEqual([]);
  });

  it('no session begins once the bound in all is reached, and sessions can be deleted', async () => {
    const { records, comeBack, sink } = absentSink();
    const node = await startNode({
      backplane: open()(),
      audit: { sink, maxTotalBytes: ROOM },
      tools: { big: () => BIG },
    });
    const app = express();
    app.use(legacySse(node.mcp));
    const legacyUrl = new URL(await listen(app)).origin;
    const legacy = rawClient();
    const { data: address } = await (await legacy.listen(`${legacyUrl}/sse`)).next();
    const { client } = await openSession(node.url);
    await client.request(node.url, 'tools/call', { name: 'big' });

    const stranger = rawClient();
    const params = {
      ...{ protocolVersion: '2025-11-25', capabilities: {} },
      clientInfo: { name: 'raw', version: '1' },
    };
    const answer = await stranger.post(node.url, request(1, 'initialize', params));
    expectRefusal(answer);
    expect(answer.headers['mcp-session-id']).toBeUndefined();
    expectRefusal(await legacy.post(`${legacyUrl}${address}`, request(1, 'initialize', params)));
    expectRefusal(await rawClient().get(`${legacyUrl}/sse`));
    expect((await client.delete(node.url)).status).toBe(200);

    comeBack();
    await expect
      .poll(
        async () => (await rawClient().post(node.url, request(1, 'initialize', params))).status,
        {
          timeout: 10_000,
        },
      )
      .toBe(200);
    const ends = records.filter(({ type }) => type === 'session.ended');
    expect(ends.map(({ reason }) => reason)).toEqual(['deleted']);
  });

  it('with `drop`, clients notice nothing, and the trail says how much is missing', async () => {
    const { records, comeBack, sink } = absentSink();
    const node = await startNode({
      backplane: open()(),
      audit: { sink, maxSessionBytes: ROOM, whenFull: 'drop' },
      tools: { big: () => BIG },
    });
    const { client, sessionId } = await openSession(node.url);
    await client.request(node.url, 'tools/call', { name: 'big' });
    comeBack();
    await expect
      .poll(() => records.find(({ type }) => type === 'gap'), { timeout: 10_000 })
      .toMatchObject({ session: sessionId, missing: { entries: 1 } });
    expect((await client.delete(node.url)).status).toBe(200);
    await expect
      .poll(() => records.at(-1), { timeout: 10_000 })
      .toMatchObject({ type: 'session.ended', reason: 'deleted' });
  });
});
