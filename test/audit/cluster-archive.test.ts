/** An archiver over a Redis Cluster, where each slot with sessions has an outbox of its own. */
import { expect, it, onTestFinished } from 'vitest';
import type { AuditRecord } from '../../src/audit/index.js';
import { archive } from '../../src/audit/index.js';
import { redisBackplane } from '../../src/index.js';
import { open, TestNode } from '../contract/suite/rig.js';
import { useFileRedisCluster } from '../support/file-redis.js';
import { uniquePrefix } from '../support/redis-fixture.js';

const own = useFileRedisCluster();

it('`archive` delivers the sessions of all slots, each in its order, and their ends', async () => {
  const prefix = uniquePrefix();
  const audit = {
    ...{ whenFull: 'refuse' as const, maxSessionBytes: 1_000_000, maxTotalBytes: 10_000_000 },
  };
  const node = new TestNode(redisBackplane({ redis: own.client, prefix }), { audit });
  onTestFinished(() => node.backplane.leave());
  await node.backplane.ready();
  const records: AuditRecord[] = [];
  const writes: number[] = [];
  const archiver = archive({
    ...{ redis: own.client, prefix },
    sink: (batch) => {
      writes.push(new Set(batch.map(({ outbox }) => outbox)).size);
      records.push(...batch);
    },
  });
  onTestFinished(() => archiver.close());
  const ids = await Promise.all(
    Array.from({ length: 40 }, () => node.create({ principal: 'as:ada', outbound: [] })),
  );
  for (const at of [1, 2, 3]) {
    for (const id of ids) {
      const messages = [JSON.stringify({ jsonrpc: '2.0', id: at, method: `m${at}` })];
      const more = { messages, principal: 'as:ada' };
      await node.run(id, open(`${node.id}${at}`, [String(at)], more));
    }
  }
  for (const id of ids) expect(await node.backplane.remove(id, 'as:ada')).toBe(true);
  const ends = () => records.filter(({ type }) => type === 'session.ended');
  await expect.poll(ends, { timeout: 20_000 }).toHaveLength(ids.length);
  for (const id of ids) {
    const chain = records.filter(({ session }) => session === id);
    expect(chain.map(({ seq }) => seq)).toEqual([1, 2, 3, 4, 5, 6]);
    expect(chain.map(({ type, method }) => method ?? type)).toEqual([
      ...['session.created', 'initialize', 'm1', 'm2', 'm3', 'session.ended'],
    ]);
    expect(new Set(chain.map(({ outbox }) => outbox)).size).toBe(1);
  }
  expect(new Set(records.map(({ outbox }) => outbox)).size).toBeGreaterThan(20);
  // Records of several outboxes are delivered together.
  expect(Math.max(...writes)).toBeGreaterThan(1);
});
