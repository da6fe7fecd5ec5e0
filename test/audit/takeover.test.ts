/** Nodes in processes of their own, of which one at a time archives. They are killed, stopped and closed in the middle. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import type { AuditRecord } from '../../src/audit/index.js';
import { archive } from '../../src/audit/index.js';
import { hashOf } from '../../src/audit/chain.js';
import type { NodeProcess } from '../rig/processes.js';
import { startNode } from '../rig/processes.js';
import { RawClient } from '../support/mcp-http.js';
import { connectRedis, redisUrl, uniquePrefix } from '../support/redis-fixture.js';

const LEASE_MS = 900;

interface Line {
  by: string;
  record: AuditRecord;
}

/** Starts nodes that share a file of records. */
async function cluster({ count = 2, ttlMs }: { count?: number; ttlMs?: number } = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'audit-'));
  const file = join(folder, 'records');
  const prefix = uniquePrefix();
  const script = new URL('takeover/node.ts', import.meta.url);
  const env = {
    ...{ REDIS_URL: redisUrl(), PREFIX: prefix, LEASE_MS: String(LEASE_MS), FILE: file },
    ...(ttlMs !== undefined && { TTL_MS: String(ttlMs) }),
  };
  const nodes: NodeProcess[] = [];
  onTestFinished(async () => {
    for (const node of nodes) node.kill('SIGCONT');
    await Promise.all(nodes.map((node) => node.stop({ graceMs: 0 })));
    rmSync(folder, { recursive: true });
  });
  for (let at = 0; at < count; at += 1) nodes.push(await startNode({ script, env }));
  const lines = (): Line[] => {
    try {
      const texts = readFileSync(file, 'utf8').split('\n').slice(0, -1);
      return texts.map((text) => JSON.parse(text) as Line);
    } catch {
      return [];
    }
  };
  const [a, b] = nodes;
  if (a === undefined || b === undefined) throw new Error('There are no nodes');
  return { a, b, prefix, lines };
}

function openClient(): RawClient {
  const client = new RawClient();
  onTestFinished(() => client.close());
  return client;
}

/** Returns the records of a session, each once. Checks that each delivery was the same, and that the chain is whole. */
function chainOf(lines: Line[], sessionId: string | undefined): AuditRecord[] {
  const bySeq = new Map<number, AuditRecord>();
  for (const { record } of lines) {
    if (record.session !== sessionId) continue;
    const known = bySeq.get(record.seq);
    if (known !== undefined) expect(record).toEqual(known);
    bySeq.set(record.seq, record);
  }
  const records = [...bySeq.values()].sort((one, other) => one.seq - other.seq);
  records.forEach((record, at) => {
    expect(record.seq).toBe(at + 1);
    expect(record.previous).toBe(records[at - 1]?.hash ?? '');
    expect(record.hash).toBe(hashOf(record));
  });
  return records;
}

const answered = (records: AuditRecord[]) =>
  records.flatMap(({ direction, outcome, requestId, tool }) =>
    direction === 'out' && outcome === 'ok' && tool === 'echo' ? requestId : [],
  );

it.each(['SIGKILL', 'SIGSTOP'] as const)(
  'another node takes over from an archiver that gets %s, and no call that was answered is lost',
  { timeout: 60_000 },
  async (signal) => {
    const { a, b, lines } = await cluster();
    const client = openClient();
    await client.initialize(b.url);
    await expect.poll(() => lines().length, { timeout: 10_000 }).toBeGreaterThan(2);
    const first = lines()[0]?.by === a.nodeId ? a : b;
    const other = first === a ? b : a;
    const ids: unknown[] = [];
    let isRunning = true;
    const calling = (async () => {
      while (isRunning) {
        const { id, result } = await client.request(other.url, 'tools/call', {
          ...{ name: 'echo', arguments: { n: ids.length } },
        });
        if (result !== undefined) ids.push(id);
      }
    })();
    const before = lines().length;
    await expect.poll(() => lines().length, { timeout: 10_000 }).toBeGreaterThan(before + 20);
    first.kill(signal);
    await expect
      .poll(() => lines().at(-1)?.by, { timeout: 4 * LEASE_MS + 5_000 })
      .toBe(other.nodeId);
    if (signal === 'SIGSTOP') first.kill('SIGCONT');
    const taken = lines().length;
    await expect.poll(() => lines().length, { timeout: 10_000 }).toBeGreaterThan(taken + 20);
    isRunning = false;
    await calling;
    (await client.delete(other.url)).expect(200);
    const records = () => chainOf(lines(), client.sessionId);
    await expect.poll(() => records().at(-1)?.type, { timeout: 10_000 }).toBe('session.ended');
    expect(records().at(-1)).toMatchObject({ reason: 'deleted' });
    expect(answered(records())).toEqual(ids);
    expect(ids.length).toBeGreaterThan(20);
  },
);

it('a node that closes hands the archive to another one at once', async () => {
  const { a, b, lines } = await cluster();
  const client = openClient();
  await client.initialize(b.url);
  await expect.poll(() => lines().length, { timeout: 10_000 }).toBeGreaterThan(2);
  const first = lines()[0]?.by === a.nodeId ? a : b;
  const other = first === a ? b : a;
  await client.request(other.url, 'tools/call', { name: 'echo', arguments: {} });
  await first.call('close');
  expect(answered(chainOf(lines(), client.sessionId))).toHaveLength(1);
  await client.request(other.url, 'tools/call', { name: 'echo', arguments: {} });
  await expect.poll(() => lines().at(-1)?.by, { timeout: 10_000 }).toBe(other.nodeId);
  expect(answered(chainOf(lines(), client.sessionId))).toHaveLength(2);
});

it('a session that expires has its end in the trail, and leaves nothing in Redis', async () => {
  const { a, b, lines, prefix } = await cluster({ ttlMs: 1_000 });
  const client = openClient();
  await client.initialize(a.url);
  await client.request(b.url, 'tools/call', { name: 'echo', arguments: {} });
  const records = () => chainOf(lines(), client.sessionId);
  await expect
    .poll(() => records().at(-1), { timeout: 20_000 })
    .toMatchObject({ type: 'session.ended', reason: 'expired' });
  const redis = connectRedis();
  const left = async () =>
    (await redis.keys(`${prefix}:*`)).filter((key) => key.includes(client.sessionId ?? '?'));
  await expect.poll(left, { timeout: 10_000 }).toEqual([]);
  // The hash has a field without a name, which is of no session.
  const chains = () => redis.hkeys(`${prefix}:audit:{all}:chains`);
  await expect.poll(chains, { timeout: 10_000 }).toEqual(['']);
}, 40_000);

it('`archive` takes over from a node, and the node from `archive`', async () => {
  const { a, b, lines, prefix } = await cluster();
  const client = openClient();
  await client.initialize(a.url);
  await expect.poll(() => lines().length, { timeout: 10_000 }).toBeGreaterThan(2);
  const archived: AuditRecord[] = [];
  const archiver = archive({
    ...{ redis: redisUrl(), prefix, leaseMs: LEASE_MS },
    sink: (records) => void archived.push(...records),
  });
  onTestFinished(() => archiver.close());
  await Promise.all([a, b].map((node) => node.call('close')));
  const rest = await startNode({
    script: new URL('takeover/node.ts', import.meta.url),
    env: { REDIS_URL: redisUrl(), PREFIX: prefix, LEASE_MS: String(LEASE_MS), FILE: '/dev/null' },
  });
  onTestFinished(() => rest.stop({ graceMs: 0 }));
  await client.request(rest.url, 'tools/call', { name: 'echo', arguments: {} });
  const all = () => [...lines(), ...archived.map((record) => ({ by: 'archive', record }))];
  await expect
    .poll(() => answered(chainOf(all(), client.sessionId)), { timeout: 10_000 })
    .toHaveLength(1);
  await archiver.close();
  const before = archived.length;
  await client.request(rest.url, 'tools/call', { name: 'echo', arguments: {} });
  await expect.poll(() => rest.call('batches'), { timeout: 10_000 }).toBeGreaterThan(0);
  expect(archived).toHaveLength(before);
}, 40_000);
