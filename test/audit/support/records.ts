import { randomUUID } from 'node:crypto';
import { digestOf, hashOf, saltOf, textOf } from '../../../src/audit/chain.js';
import type { AuditRecord } from '../../../src/audit/record.js';

/** 2026-11-30T12:00:00Z. */
export const NOON = Date.UTC(2026, 10, 30, 12);

/** Makes the records of one outbox: sessions whose chains hold. */
export class RecordMaker {
  private ordinal = 0;
  private readonly chains = new Map<string, { seq: number; last: string; chain: string }>();

  constructor(
    private at = NOON,
    private readonly stepMs = 1000,
  ) {}

  /** Makes the next record of a session. */
  next(session: string, more: Partial<AuditRecord> = {}): AuditRecord {
    this.ordinal += 1;
    this.at += this.stepMs;
    const at = more.at ?? this.at;
    const known = this.chains.get(session);
    const chain = known ?? { seq: 0, last: '', chain: `${at}-0` };
    const seq = chain.seq + 1;
    const record: AuditRecord = {
      v: 1,
      ...{ session, chain: chain.chain, seq, ordinal: this.ordinal, outbox: 'all' },
      ...{ at, logId: `${at}-0`, type: 'message.received', direction: 'in' },
      ...{ principal: 'alice', client: 'test 1.0', protocol: '2025-11-25' },
      ...more,
      previous: chain.last,
      hash: '',
    };
    if (record.message !== undefined) {
      const text = textOf(record.message);
      record.salt = saltOf('secret', seq);
      record.bytes = Buffer.byteLength(text);
      record.digest = digestOf(record.salt, text);
    }
    record.hash = hashOf(record);
    this.chains.set(session, { seq, last: record.hash, chain: chain.chain });
    if (record.type === 'session.ended') this.chains.delete(session);
    return record;
  }

  /** Makes the records of a whole session with `calls` calls. */
  session(
    calls: number,
    more: Partial<AuditRecord> = {},
    id: string = randomUUID(),
  ): AuditRecord[] {
    const records = [this.next(id, { ...more, type: 'session.created' })];
    for (let call = 1; call <= calls; call += 1) {
      const about = { ...more, method: 'tools/call', tool: 'echo', requestId: call };
      const params = { name: 'echo', arguments: { text: `${id} ${call}` } };
      const asked = { jsonrpc: '2.0' as const, id: call, method: 'tools/call', params };
      const answer = { jsonrpc: '2.0' as const, id: call, result: { content: [] } };
      records.push(
        this.next(id, { ...about, message: asked }),
        this.next(id, {
          ...about,
          ...{ type: 'message.sent', direction: 'out', outcome: 'ok', durationMs: 5 },
          message: answer,
        }),
      );
    }
    records.push(this.next(id, { ...more, type: 'session.ended', reason: 'deleted' }));
    return records;
  }
}

/** Reads all records of an iterable. */
export async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const read: T[] = [];
  for await (const item of items) read.push(item);
  return read;
}
