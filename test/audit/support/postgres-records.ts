import { expect } from 'vitest';
import { digestOf, hashOf, saltOf, textOf } from '../../../src/audit/chain.js';
import type { AuditRecord } from '../../../src/audit/record.js';
import type { Trail, TrailQuery } from '../../../src/audit/reading/trail.js';

export const NOON = Date.UTC(2026, 0, 31, 12);
export const DAY = 86_400_000;

/** What differs between records of a chain. `undefined` removes a field. */
export type RecordFields = { [Field in keyof AuditRecord]?: AuditRecord[Field] | undefined };

/** Makes a chain of records of one session, with salts, digests and hashes as an archiver makes them. */
export function makeChain(session: string, each: readonly RecordFields[]): AuditRecord[] {
  let previous = '';
  return each.map((fields, index) => {
    const seq = index + 1;
    const salt = saltOf(`secret of ${session}`, seq);
    const message = {
      jsonrpc: '2.0' as const,
      id: seq,
      method: 'tools/call',
      params: { name: 'weather', arguments: { city: `${session} ${seq}` } },
    };
    const all: RecordFields = {
      ...{ v: 1, session, chain: `${NOON}-0`, seq, ordinal: seq, outbox: 'all', at: NOON + seq },
      ...{
        logId: `${NOON + seq}-0`,
        type: 'message.received',
        principal: 'alice',
        client: 'inspector 1.0',
      },
      ...{ protocol: '2025-06-18', direction: 'in', stream: `node-1-${seq}`, method: 'tools/call' },
      ...{ tool: 'weather', requestId: seq, receivedBy: 'node-1', salt, message },
      ...fields,
      previous,
    };
    const kept = Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
    const record = kept as unknown as AuditRecord;
    if (record.message !== undefined && record.salt !== undefined) {
      const text = textOf(record.message);
      record.bytes = Buffer.byteLength(text);
      record.digest = digestOf(record.salt, text);
    }
    record.hash = hashOf(record);
    previous = record.hash;
    return record;
  });
}

export async function readAll(trail: Trail, query?: TrailQuery): Promise<AuditRecord[]> {
  const found: AuditRecord[] = [];
  for await (const record of trail.records(query)) found.push(record);
  return found;
}

/** Checks the numbers and hashes of a chain from its beginning, and the digests of its messages that are not erased. */
export function expectSound(chain: readonly AuditRecord[]): void {
  const wrong = chain.filter((record, index) => {
    const { seq, previous, hash, message, salt = '', digest } = record;
    const isLinked = seq === index + 1 && previous === (chain[index - 1]?.hash ?? '');
    const isWhole = message === undefined || digestOf(salt, textOf(message)) === digest;
    return !isLinked || !isWhole || hashOf(record) !== hash;
  });
  expect(wrong).toEqual([]);
}
