import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { digestOf, hashOf, textOf } from '../../src/audit/chain.js';
import type { AuditRecord } from '../../src/audit/record.js';
import type { Trail } from '../../src/audit/reading/trail.js';
import { verifyTrail, type TrailProblem } from '../../src/audit/verifying/verify-trail.js';
import { aesGcmCodec } from '../../src/codec/index.js';
import { RecordMaker } from './support/records.js';

/** A trail with these records, in this order. */
function trailOf(records: readonly AuditRecord[]): Trail {
  return {
    async *records() {
      yield* records;
      await Promise.resolve();
    },
    erase: () => Promise.resolve(0),
    close: () => Promise.resolve(),
  };
}

async function verify(records: readonly AuditRecord[], codec?: ReturnType<typeof aesGcmCodec>) {
  const problems: TrailProblem[] = [];
  const result = await verifyTrail(trailOf(records), {
    onProblem: (problem) => problems.push(problem),
    ...(codec !== undefined && { codec }),
  });
  return { ...result, texts: problems.map(({ text }) => text), found: problems };
}

/** Three sessions, whose records come in turn. */
function threeSessions(): AuditRecord[] {
  const maker = new RecordMaker();
  const [a, b] = [maker.session(2, {}, 'a'), maker.session(2, {}, 'b')];
  return [...a, ...b, ...maker.session(1, {}, 'c')];
}

describe('verifying a trail', () => {
  it('finds nothing wrong with a whole one, and counts what is in it', async () => {
    const maker = new RecordMaker();
    const records = [...maker.session(2), ...maker.session(0), maker.next('open')];
    const dropped = maker.next('open', { type: 'gap', missing: { entries: 7, from: 1 } });
    expect(await verify([...records, dropped])).toMatchObject({
      ...{ records: 10, chains: 3, open: 1, problems: 0, branches: 0, erased: 0, dropped: 7 },
    });
  });

  it.each<[string, (records: AuditRecord[]) => void, string]>([
    ['a record in the middle', (all) => void all.splice(2, 1), 'Record 3 of session a is missing'],
    [
      'several records',
      (all) => void all.splice(2, 2),
      'Record 3 of session a and the 1 after it are missing',
    ],
    [
      'the first record of a session',
      (all) => void all.splice(0, 1),
      'Record 1 of session a is missing',
    ],
    [
      'the last record of a session',
      (all) => void all.splice(5, 1),
      'Record 6 of the outbox all is missing',
    ],
    [
      'a whole session',
      (all) => void all.splice(6, 6),
      'Records 7 to 12 of the outbox all are missing',
    ],
  ])('finds that %s is missing', async (_, tamper, text) => {
    const records = threeSessions();
    tamper(records);
    expect((await verify(records)).texts).toContain(text);
  });

  it('finds a message that was changed, and one that was taken out', async () => {
    const records = threeSessions();
    const [one, two] = [records[1], records[3]];
    if (one === undefined || two === undefined) throw new Error('There are records');
    one.message = { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'other' } };
    delete two.message;
    expect((await verify(records)).texts).toEqual([
      'Record 2 of session a has another message than when it was made',
      'Record 4 of session a has lost its message',
    ]);
  });

  it('finds a record that was changed together with its hash', async () => {
    const records = threeSessions();
    const [, record] = records;
    if (record === undefined) throw new Error('There are records');
    record.principal = 'somebody else';
    record.hash = hashOf(record);
    expect((await verify(records)).texts).toEqual([
      'Record 3 of session a does not follow the record before it',
    ]);
  });

  it.each([
    ['at once', 6],
    ['later', 16],
  ])('finds a record behind the end of its session, %s', async (_, place) => {
    const records = threeSessions();
    const last = records[5];
    if (last === undefined) throw new Error('There are records');
    const added = { ...last, seq: last.seq + 1, ordinal: 17, previous: last.hash };
    added.hash = hashOf(added);
    records.splice(place, 0, added);
    expect(await verify(records)).toMatchObject({
      ...{ chains: 3, open: 0, texts: ['Record 7 of session a follows the end of its session'] },
      found: [{ kind: 'after_end', session: 'a', seq: 7 }],
    });
  });

  it('finds records whose places were exchanged', async () => {
    for (let at = 0; at < 5; at += 1) {
      const records = threeSessions();
      const [one, two] = records.slice(at, at + 2);
      if (one === undefined || two === undefined) throw new Error('There are records');
      records.splice(at, 2, two, one);
      expect((await verify(records)).problems).toBeGreaterThan(0);
    }
  });

  it('passes over a record that was delivered twice', async () => {
    const records = threeSessions();
    for (const at of records.keys()) {
      const twice = records.toSpliced(at, 0, ...records.slice(at, at + 1));
      expect(await verify(twice)).toMatchObject({ problems: 0, branches: 0, chains: 3, open: 0 });
    }
    const whole = [...records, ...records.slice(0, 6)];
    expect(await verify(whole)).toMatchObject({ problems: 0, branches: 0, chains: 3, open: 0 });
  });

  it('finds a record that was put in the place of another', async () => {
    for (let at = 1; at < 6; at += 1) {
      const records = threeSessions();
      records.splice(at, 1, ...records.slice(at - 1, at));
      expect((await verify(records)).problems).toBeGreaterThan(0);
    }
  });

  it('counts the records before the first one', async () => {
    expect(await verify(threeSessions().slice(6))).toMatchObject({ problems: 0, earlier: 6 });
    expect(await verify(threeSessions())).toMatchObject({ problems: 0, earlier: 0 });
    expect(await verify([])).toMatchObject({ problems: 0, earlier: 0, records: 0 });
  });

  it('finds a message that was added to a record without one', async () => {
    const records = threeSessions();
    const [record] = records;
    if (record === undefined) throw new Error('There are records');
    record.message = { jsonrpc: '2.0', method: 'added' };
    expect((await verify(records)).texts).toEqual([
      'Record 1 of session a has a message that it did not have',
    ]);
  });

  it('takes erased messages for what they are', async () => {
    const records = threeSessions().map(({ message, salt: _, ...rest }) =>
      message === undefined ? rest : { ...rest, erased: true as const },
    );
    expect(await verify(records)).toMatchObject({ problems: 0, erased: 10 });
  });

  it('checks encoded messages with the codec, and counts them without it', async () => {
    const codec = aesGcmCodec({ keys: { k1: randomBytes(32) }, current: 'k1' });
    const other = aesGcmCodec({ keys: { k1: randomBytes(32) }, current: 'k1' });
    const context = { sessionId: 'a', kind: 'message' as const };
    const records = new RecordMaker()
      .session(1, {}, 'a')
      .map(({ message, ...rest }) =>
        message === undefined ? rest : { ...rest, sealed: codec.encode(textOf(message), context) },
      );
    expect(await verify(records, codec)).toMatchObject({ problems: 0, unchecked: 0 });
    expect(await verify(records)).toMatchObject({ problems: 0, unchecked: 2 });
    expect(await verify(records, other)).toMatchObject({ problems: 0, unchecked: 2 });
    const [, record] = records;
    if (record === undefined) throw new Error('There are records');
    record.sealed = codec.encode('{"another":1}', context);
    expect((await verify(records, codec)).problems).toBe(1);
  });

  // A failover of Redis that loses the last checkpoint makes the archiver go on from an older record.
  it('counts a branch, and follows both of its ends', async () => {
    const maker = new RecordMaker();
    const shared = [maker.next('s'), maker.next('s')];
    const first = maker.next('s');
    const again: AuditRecord = { ...first, at: first.at + 5, logId: `${first.at + 5}-0` };
    again.hash = hashOf(again);
    const behind: AuditRecord = { ...again, seq: 4, ordinal: 4, previous: again.hash };
    behind.hash = hashOf(behind);
    expect(await verify([...shared, first, again, behind])).toMatchObject({
      ...{ problems: 0, branches: 1, chains: 1 },
    });
  });

  // The archiver goes on from the last checkpoint that Redis still has, and the end of the session may come behind that.
  it.each([
    ['before another one has ended', [1, 0]],
    ['after another one has ended', [0, 1]],
  ])('counts a branch that ends %s', async (_, order) => {
    const maker = new RecordMaker();
    const shared = [maker.next('s'), maker.next('s')];
    const ends = [maker.next('s', { type: 'session.ended', reason: 'deleted' })];
    const again = shared.slice(1).map((record) => ({ ...record, seq: 3, at: record.at + 5 }));
    for (const record of again) {
      record.previous = shared[1]?.hash ?? '';
      record.hash = hashOf(record);
    }
    const last = {
      ...(ends[0] ?? ({} as never)),
      seq: 4,
      ordinal: 4,
      previous: again[0]?.hash ?? '',
    };
    last.hash = hashOf(last);
    const branches = [ends, [...again, last]];
    const records = [...shared, ...order.flatMap((at) => branches[at] ?? [])];
    expect(await verify(records)).toMatchObject({
      ...{ texts: [], problems: 0, branches: 1, chains: 1, open: 0 },
    });
  });

  it.each<[string, Partial<AuditRecord>]>([
    ['salt', { salt: 'x' }],
    ['second message, encoded,', { sealed: 'x' }],
    ['note that it was erased', { erased: true }],
  ])('finds a %s that was added to a record', async (_, added) => {
    for (const at of threeSessions().keys()) {
      const records = threeSessions();
      const record = records[at];
      if (record === undefined || Object.keys(added).every((name) => name in record)) continue;
      Object.assign(record, added);
      expect((await verify(records)).problems).toBe(1);
    }
  });

  it('finds any change of any field of any record', async () => {
    const records = threeSessions();
    const places = records.flatMap((record, at) =>
      Object.keys(record).map((name) => [at, name] as const),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...places),
        fc.oneof(fc.string(), fc.integer(), fc.boolean()),
        async ([at, name], value) => {
          const changed = structuredClone(records);
          const record = changed[at] as unknown as Record<string, unknown>;
          fc.pre(record[name] !== value);
          record[name] = name === 'message' ? { jsonrpc: '2.0', method: String(value) } : value;
          expect((await verify(changed)).problems).toBeGreaterThan(0);
        },
      ),
      { numRuns: 500 },
    );
  });
});

it('a digest tells nothing to those who do not have the salt', () => {
  expect(digestOf('one', 'text')).not.toBe(digestOf('two', 'text'));
});
