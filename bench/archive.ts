/**
 * Measures how fast an archiver takes entries out of the outbox of a Redis and stores them: `npx tsx bench/archive.ts`. It prints
 * entries per second and processor time of the archiver per entry, for a function that does nothing, a directory, and PostgreSQL
 * with `fsync` on. `docs/performance.md` has the figures.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { archive } from '../src/audit/index.js';
import type { AuditTarget } from '../src/options/audit-option.js';
import type { Operation } from '../src/backplane/index.js';
import { redisBackplane } from '../src/index.js';
import { newSession, open, TestNode } from '../test/contract/suite/rig.js';
import { startPostgres } from '../test/rig/postgres.js';
import { startRedis } from '../test/rig/redis.js';

const SESSIONS = 16;
const CALLS = 2_000;
const OUTBOX = 'mcp:audit:{all}';
const NO_BOUND = 2 ** 40;

const server = await startRedis();
const redis = new Redis(server.url);
const postgres = await startPostgres({ fsync: true });
const directory = await mkdtemp(join(tmpdir(), 'anynode-archive-'));

const SINKS: [name: string, sink: AuditTarget][] = [
  ['a function that does nothing', () => undefined],
  ['directory', directory],
  ['PostgreSQL', postgres.url],
];

try {
  for (const [name, sink] of SINKS) {
    await fill();
    const count = await redis.xlen(OUTBOX);
    const [began, cpuBefore] = [performance.now(), process.cpuUsage()];
    const running = archive({ redis: server.url, sink });
    while ((await redis.xlen(OUTBOX)) > 0) await sleep(20);
    const seconds = (performance.now() - began) / 1000;
    const { user, system } = process.cpuUsage(cpuBefore);
    await running.close();
    const rate = Math.round(count / seconds);
    console.log(`${name}: ${rate} entries/s, ${((user + system) / count).toFixed(1)} µs per entry`);
  }
} finally {
  redis.disconnect();
  await Promise.all([server.stop(), postgres.stop(), rm(directory, { recursive: true })]);
}

/** Lets sessions make plain calls, side by side, whose entries stay in the outbox. */
async function fill(): Promise<void> {
  const node = new TestNode(redisBackplane({ redis: server.url }), {
    commandTimeoutMs: 20_000,
    audit: { whenFull: 'refuse', maxSessionBytes: NO_BOUND, maxTotalBytes: NO_BOUND },
  });
  await node.backplane.ready();
  let number = 0;
  const commit = (sessionId: string, operation: Operation) => {
    number += 1;
    return node.backplane.commit({ sessionId, number, operations: [operation] });
  };
  await Promise.all(
    Array.from({ length: SESSIONS }, async () => {
      const session = newSession();
      await node.backplane.create(session);
      for (let id = 1; id <= CALLS; id += 1) {
        const stream = `${node.id}${id}`;
        const params = { name: 'echo', arguments: { text: 'hello hello hello' } };
        const asked = { jsonrpc: '2.0', id, method: 'tools/call', params };
        const result = { content: [{ type: 'text', text: 'hello hello hello' }] };
        const message = JSON.stringify({ result, jsonrpc: '2.0', id });
        await commit(session.id, open(stream, [`${id}`], { messages: [JSON.stringify(asked)] }));
        await commit(session.id, { type: 'append', stream, ends: `${id}`, message });
      }
    }),
  );
  await node.backplane.leave();
}
