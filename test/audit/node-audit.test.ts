/** Nodes with the option `audit`, over HTTP. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { openTrail, verifyTrail } from '../../src/audit/index.js';
import type { AuditRecord } from '../../src/audit/index.js';
import { digestOf, hashOf, sealedContext } from '../../src/audit/chain.js';
import { aesGcmCodec } from '../../src/codec/index.js';
import { anynode, memoryBackplane } from '../../src/index.js';
import { legacySse } from '../../src/legacy-sse/index.js';
import { scriptedServer } from '../integration/support/scripted-server.js';
import { openSession, rawClient, startNode, STORES } from '../integration/support/serve.js';
import { connectLegacy } from '../support/legacy-client.js';
import { request } from '../support/mcp-http.js';
import { wrappedBackplane } from '../support/wrapped-backplane.js';

describe.each(STORES)('over %s', (_, open) => {
  /** A sink that keeps the records of the test. */
  function recordingSink() {
    const records: AuditRecord[] = [];
    return { records, sink: (batch: readonly AuditRecord[]) => void records.push(...batch) };
  }

  it('the records of a session tell its whole history, from its creation to its end', async () => {
    const { records, sink } = recordingSink();
    const node = await startNode({
      backplane: open()(),
      audit: { sink },
      principal: () => 'ada',
      tools: {
        broken: () => ({ isError: true, content: [] }),
      },
    });
    const { client, sessionId } = await openSession(node.url);
    await client.request(node.url, 'tools/call', { name: 'echo', arguments: { a: 1 } });
    await client.request(node.url, 'tools/call', { name: 'broken', arguments: {} });
    await client.delete(node.url);
    await expect.poll(() => records.at(-1)?.type, { timeout: 5_000 }).toBe('session.ended');
    const told = records.map(({ type, direction, method, tool, outcome, reason }) =>
      [type, direction, method, tool, outcome, reason].filter((word) => word !== undefined),
    );
    expect(told.map((words) => words.join(' '))).toEqual([
      'session.created',
      'message.received in initialize',
      'message.sent out initialize ok',
      'message.received in notifications/initialized',
      'session.initialized',
      'message.received in tools/call echo',
      'message.sent out tools/call echo ok',
      'message.received in tools/call broken',
      'message.sent out tools/call broken tool_error',
      'session.ended deleted',
    ]);
    const { nodeId } = node.mcp;
    records.forEach((record, at) => {
      expect(record).toMatchObject({ session: sessionId, principal: 'ada', seq: at + 1 });
      expect(record.client).toMatch(/\S+ \S+/);
      expect(record.previous).toBe(records[at - 1]?.hash ?? '');
      expect(record.hash).toBe(hashOf(record));
    });
    expect(records[6]).toMatchObject({ receivedBy: nodeId, ranOn: nodeId, shownBy: nodeId });
    expect(records[6]?.durationMs).toBeGreaterThanOrEqual(0);
    expect(records[6]?.protocol).toMatch(/^20/);
    expect(node.logged).toEqual([]);
  });

  it('the record of a large `initialize` has its params, which the log leaves out', async () => {
    const { records, sink } = recordingSink();
    const node = await startNode({ backplane: open()(), audit: { sink } });
    const client = rawClient();
    const name = 'n'.repeat(3_000);
    await client.initialize(node.url, { clientInfo: { name, version: '1' } });
    const found = () =>
      records.find(({ method, direction }) => method === 'initialize' && direction === 'in');
    await expect.poll(found, { timeout: 5_000 }).toBeDefined();
    expect(found()?.message).toMatchObject({ params: { clientInfo: { name, version: '1' } } });
    expect(found()?.client).toBe('n'.repeat(256));
  });

  it('a session of HTTP+SSE has each outcome once, and its client from its `initialize`', async () => {
    const { records, sink } = recordingSink();
    const node = await startNode({ backplane: open()(), audit: { sink }, principal: () => 'ada' });
    node.app.use(legacySse(node.mcp));
    const legacy = await connectLegacy(`${new URL(node.url).origin}/sse`);
    await legacy.call('echo', { a: 1 });
    await legacy.call('echo', { a: 2 });
    const outcomes = () => records.filter(({ outcome }) => outcome !== undefined);
    await expect.poll(outcomes, { timeout: 5_000 }).toHaveLength(3);
    expect(outcomes()).toMatchObject([
      { method: 'initialize', outcome: 'ok', client: 'legacy 1.0.0', principal: 'ada' },
      { method: 'tools/call', outcome: 'ok', tool: 'echo', receivedBy: node.mcp.nodeId },
      { method: 'tools/call', outcome: 'ok', tool: 'echo', ranOn: node.mcp.nodeId },
    ]);
    expect(outcomes()[2]?.protocol).toMatch(/^20/);
    await legacy.client.close();
  });

  it('a node that closes delivers what waits', async () => {
    const { records, sink } = recordingSink();
    const node = await startNode({ backplane: open()(), audit: { sink } });
    const { client } = await openSession(node.url);
    await client.request(node.url, 'tools/call', { name: 'echo', arguments: {} });
    await node.mcp.close({ drainMs: 0 });
    expect(records.at(-1)).toMatchObject({ tool: 'echo', outcome: 'ok' });
  });

  it('a node without a sink records what another node delivers', async () => {
    const store = open();
    const { records, sink } = recordingSink();
    const serving = await startNode({ backplane: store(), audit: {} });
    const { client, sessionId } = await openSession(serving.url);
    await client.request(serving.url, 'tools/call', { name: 'echo', arguments: {} });
    await startNode({ backplane: store(), audit: { sink } });
    await expect.poll(() => records.at(-1), { timeout: 5_000 }).toMatchObject({ outcome: 'ok' });
    expect(new Set(records.map(({ session }) => session))).toEqual(new Set([sessionId]));
    expect(records.at(-1)?.ranOn).toBe(serving.mcp.nodeId);
  });
});

describe('a node with a codec', () => {
  const codec = aesGcmCodec({ keys: { k1: Buffer.alloc(32, 7) }, current: 'k1' });

  it('delivers messages in clear, also those that it reads twice', async () => {
    let failures = 3;
    const records: AuditRecord[] = [];
    const backplane = wrappedBackplane(memoryBackplane(), ({ audit }) => ({
      audit: audit && {
        ...audit,
        acknowledge: (...args) => {
          failures -= 1;
          return failures >= 0 ? Promise.reject(new Error('cut')) : audit.acknowledge(...args);
        },
      },
    }));
    const sink = (batch: readonly AuditRecord[]) => void records.push(...batch);
    const node = await startNode({ backplane, codec, principal: () => 'ada', audit: { sink } });
    const { client } = await openSession(node.url);
    await expect.poll(() => failures).toBeLessThan(0);
    await client.request(node.url, 'tools/call', { name: 'echo', arguments: { a: 1 } });
    await expect.poll(() => records.at(-1)?.outcome).toBe('ok');
    expect(records.filter(({ unreadable }) => unreadable)).toEqual([]);
    expect(new Set(records.map(({ seq }) => seq)).size).toBe(records.at(-1)?.seq);
    expect(new Set(records.map(({ hash }) => hash)).size).toBe(records.at(-1)?.seq);
    expect(records.length).toBeGreaterThan(records.at(-1)?.seq ?? 0);
    expect(records.at(-1)).toMatchObject({ principal: 'ada', tool: 'echo' });
    expect(JSON.stringify(records.at(-1)?.message)).toContain('content');
  });

  it('delivers messages encoded if that is wanted', async () => {
    const records: AuditRecord[] = [];
    const sink = (batch: readonly AuditRecord[]) => void records.push(...batch);
    const node = await startNode({ codec, audit: { sink, encrypt: true } });
    const { client, sessionId } = await openSession(node.url);
    await client.request(node.url, 'tools/call', { name: 'echo', arguments: { a: 'secret' } });
    await expect.poll(() => records.at(-1)?.outcome).toBe('ok');
    expect(JSON.stringify(records)).not.toContain('secret');
    const { sealed = '', salt = '', digest } = records.at(-1) ?? {};
    const text = codec.decode(sealed, sealedContext(sessionId));
    expect(text).toContain('secret');
    expect(digestOf(salt, text)).toBe(digest);
  });
});

it('a sink that is a path is a directory, whose trail is whole after the node has closed', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'audit-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const sink = join(folder, 'trail');
  const node = await startNode({ audit: { sink }, principal: () => 'ada' });
  const { client } = await openSession(node.url);
  await client.request(node.url, 'tools/call', { name: 'echo', arguments: {} });
  await client.delete(node.url);
  await node.mcp.close({ drainMs: 0 });
  const result = await verifyTrail(openTrail(sink));
  expect(result).toMatchObject({ records: 8, chains: 1, open: 0, problems: 0, branches: 0 });
});

it('a node refuses calls while too much waits for a sink that is away, and goes on when it is back', async () => {
  const records: AuditRecord[] = [];
  let isAway = true;
  const sink = (batch: readonly AuditRecord[]) => {
    if (isAway) throw new Error('away');
    records.push(...batch);
  };
  const node = await startNode({ audit: { sink, maxSessionBytes: 3_000 } });
  const { client } = await openSession(node.url);
  let answered = 0;
  const call = async () => {
    const params = { name: 'echo', arguments: { a: 'x'.repeat(200) } };
    const reply = await client.post(node.url, request(client.nextId(), 'tools/call', params));
    if (reply.status === 200) answered += 1;
    return reply.status;
  };
  await expect.poll(call, { interval: 1 }).toBe(503);
  const before = answered;
  const failed = expect.stringContaining('does not take records') as unknown;
  await expect.poll(() => node.logged).toContainEqual(failed);
  isAway = false;
  await expect.poll(call).toBe(200);
  expect(before).toBeGreaterThan(0);
  const ok = () => records.filter(({ outcome, tool }) => outcome === 'ok' && tool === 'echo');
  await expect.poll(ok).toHaveLength(answered);
  expect(node.informed).toEqual([expect.stringContaining('takes records again')]);
});

it('a node closes while its archiver is still being loaded, and delivers nothing later', async () => {
  let writes = 0;
  const sink = () => void (writes += 1);
  const mcp = anynode({ server: () => scriptedServer(), audit: { sink } });
  await mcp.close({ drainMs: 0 });
  expect(writes).toBe(0);
});

it('a node closes in time if its sink never answers', async () => {
  const sink = () => new Promise<void>(() => undefined);
  const node = await startNode({ audit: { sink }, commandTimeoutMs: 100 });
  await openSession(node.url);
  const began = performance.now();
  await node.mcp.close({ drainMs: 0 });
  expect(performance.now() - began).toBeLessThan(2_000);
});

it('a node is not made if its backplane has no outboxes', () => {
  const backplane = wrappedBackplane(memoryBackplane(), () => ({ audit: undefined }));
  const make = () => anynode({ server: () => scriptedServer(), backplane, audit: {} });
  expect(make).toThrow(/`audit` needs a backplane that keeps an audit trail/);
});
