import { mkdtemp, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { hashOf } from '../../src/audit/chain.js';
import { archivedSessions, openTrail, verifyTrail } from '../../src/audit/index.js';
import type { AuditRecord } from '../../src/audit/record.js';
import { summaryOf } from '../../src/timeline/event-summary.js';
import { mermaid } from '../../src/timeline/mermaid.js';
import { NOON, RecordMaker } from './support/records.js';

const DEEP = `${'['.repeat(200_000)}${']'.repeat(200_000)}`;

/** Members of a record with values that no archiver writes. A member that comes later in a JSON text counts. */
const HOSTILE: Record<string, string> = {
  'a gap without a count': '"type":"gap","missing":null',
  'a gap with texts': '"type":"gap","missing":{"entries":"\\u001b[31m","from":"x"}',
  'an object as duration': '"durationMs":{"a":1},"outcome":"ok"',
  'an object as request id': '"requestId":{"a":1},"method":"x"',
  'an object as node': '"shownBy":{"a":1}',
  'an object as count': '"skipped":{"a":1}',
  'an unknown type': '"type":"__proto__"',
  'an unknown direction': '"direction":"__proto__"',
  'an unknown outcome': '"outcome":"constructor"',
  'a time that no date has': '"at":9007199254740991',
  'a chain that is no time': '"chain":"abc"',
  'a number below zero': '"seq":-1',
  'a message without JSON-RPC': '"message":{"method":5,"id":{},"params":3}',
  'a handshake without parameters': '"message":{"method":"initialize","id":1,"params":null}',
  'an answer that is null':
    '"type":"message.sent","direction":"out","message":{"jsonrpc":"2.0","result":null,"id":1}',
  'a cancellation of nothing':
    '"message":{"jsonrpc":"2.0","method":"notifications/cancelled","params":null}',
  'a level that is an object':
    '"message":{"jsonrpc":"2.0","id":1,"method":"logging/setLevel","params":{"level":{}}}',
  'a message of 200,000 levels': `"message":{"a":${DEEP}}`,
};

let dir: string;
beforeEach(async () => (dir = await mkdtemp(join(tmpdir(), 'hostile-records-'))));
afterEach(() => rm(dir, { recursive: true }));

/** A trail with a record of session `s` that has these members besides its own, between records of `s` and of `t`. */
async function trailWith(members: string, isHashed: boolean) {
  const maker = new RecordMaker();
  const before = maker.session(1, {}, 's');
  let hostile = `${JSON.stringify(maker.next('s')).slice(0, -1)},${members}}`;
  if (isHashed) {
    const record = JSON.parse(hostile) as AuditRecord;
    hostile = JSON.stringify({ ...record, hash: hashOf(record) });
  }
  const after = maker.session(1, {}, 't');
  const lines = [...before.map((record) => JSON.stringify(record)), hostile];
  lines.push(...after.map((record) => JSON.stringify(record)), '');
  const file = join(dir, '2026-11-30.0001.jsonl');
  await writeFile(file, lines.join('\n'));
  // An archiver may still write to a file that has just changed.
  await utimes(file, NOON / 1000, NOON / 1000);
  return { trail: openTrail(dir), others: before.length + after.length };
}

describe.each(Object.entries(HOSTILE))('A trail with %s', (_name, members) => {
  // Nobody can hash what is too deep to be written again.
  const kinds = members.length > 10_000 ? [false] : [false, true];

  it.each(kinds)('is read, verified and erased from to its end (hashed: %s)', async (isHashed) => {
    const { trail, others } = await trailWith(members, isHashed);

    const report = await verifyTrail(trail);
    expect(report.records).toBeGreaterThanOrEqual(others);
    if (!isHashed) expect(report.problems).toBeGreaterThan(0);

    const sessions = archivedSessions(trail);
    for (const session of ['s', 't']) {
      for (const chain of await sessions.chains(session)) {
        const events = [];
        for await (const event of sessions.events(session, { chain })) events.push(event);
        const summaries = events.map((event) => summaryOf(event, { messages: true }));
        expect(typeof mermaid(summaries, session)).toBe('string');
        await sessions.stateAt(session, undefined, { chain });
      }
    }
    expect(await sessions.get('t')).toBeDefined();
    await expect(trail.erase('alice')).resolves.toBeDefined();
  });
});
