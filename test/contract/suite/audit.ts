import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type {
  AuditOutboxes,
  JoinOptions,
  OutboxCheckpoint,
  OutboxEntry,
  OutboxLimits,
} from '../../../src/backplane/index.js';
import { ANY_PRINCIPAL, STANDALONE } from '../../../src/backplane/index.js';
import {
  ALICE,
  append,
  eventually,
  MALLORY,
  newSession,
  open,
  receive,
  useRig,
  type OpenStore,
  type TestNode,
} from './rig.js';

const LIMITS: OutboxLimits = {
  whenFull: 'refuse',
  maxSessionBytes: 10_000_000,
  maxTotalBytes: 100_000_000,
};

const ALL = { maxEntries: 10_000, maxBytes: 100_000_000 };

/** An archiver of a test. It reads one outbox at a time, and finds those of its sessions. */
class TestArchiver {
  readonly id = `a${randomBytes(6).toString('hex')}`;
  readonly audit: AuditOutboxes;
  checkpoint: OutboxCheckpoint = { mark: '', ordinal: 0 };

  constructor(node: TestNode) {
    if (node.backplane.audit === undefined) throw new Error('This backplane has no outboxes');
    this.audit = node.backplane.audit;
  }

  async claim(outbox: string): Promise<void> {
    this.checkpoint = await this.audit.claim(outbox, this.id);
  }

  read(outbox: string, page: Partial<typeof ALL & { after: string; mark: string }> = {}) {
    const { mark } = this.checkpoint;
    return this.audit.readOutbox(outbox, { archiver: this.id, mark, ...ALL, ...page });
  }

  async acknowledge(
    outbox: string,
    upTo: string,
    chains: [string, string | undefined][] = [],
  ): Promise<OutboxCheckpoint | 'changed' | 'lost'> {
    const { mark, ordinal } = this.checkpoint;
    const reply = await this.audit.acknowledge(outbox, {
      ...{ archiver: this.id, mark, upTo, chains: new Map(chains), ordinal: ordinal + 1 },
    });
    if (typeof reply === 'object') this.checkpoint = reply;
    return reply;
  }

  /** Claims the outbox of a session, and returns its name and its entries. */
  async of(sessionId: string): Promise<{ outbox: string; entries: OutboxEntry[] }> {
    for (const outbox of await this.audit.outboxes()) {
      await this.claim(outbox);
      const reply = await this.read(outbox);
      const all = reply.status === 'ok' ? reply.entries : [];
      const entries = all.filter((entry) => entry.sessionId === sessionId);
      const [state] = await this.audit.chains(outbox, [sessionId]);
      if (entries.length > 0 || state !== undefined) return { outbox, entries };
    }
    throw new Error('No outbox has the session');
  }

  /** Looks at all chains of an outbox for sessions that have expired. */
  async endExpired(outbox: string): Promise<void> {
    let from: string | undefined;
    do {
      ({ next: from } = await this.audit.endExpired(outbox, 100, from));
    } while (from !== undefined);
  }
}

/** What an entry says, for comparisons. */
function said({ entry, ended, gap }: OutboxEntry) {
  return ended ?? (gap && `${gap.entries} missing`) ?? entry.note?.kind ?? entry.message;
}

/** The outboxes of the audit trail. */
export function describeAudit(openStore: OpenStore): void {
  describe('the outbox of the audit trail', () => {
    const rig = useRig(openStore);
    const joined = (limits: Partial<OutboxLimits> = {}, more: Partial<JoinOptions> = {}) =>
      rig.join({ audit: { ...LIMITS, ...limits }, ...more });

    it('has a copy of each entry of the log, in the same order', async () => {
      const node = await joined();
      const session = newSession();
      await node.backplane.create(session);
      const { id } = session;
      await node.run(id, receive({ to: 'initialized' }, '{"initialized":1}'));
      await node.run(id, open('p', ['1'], { trace: '00-ab-cd-01' }));
      const held = await node.say(id, STANDALONE, 'waits');
      await node.hold(id, STANDALONE, { cursor: held.position, token: 'back' });
      const note = { type: 'note' as const, kind: 'request.recovered' as const };
      await node.run(id, { ...note, stream: 'p', request: '1', from: undefined });
      await node.say(id, 'p', 'answer', { ends: '1' });
      const { entries } = await new TestArchiver(node).of(id);
      const log = await node.history(id);
      expect(log).toHaveLength(10);
      expect(entries.map(({ entry }) => entry)).toEqual(log);
    });

    it('says of a new session whose it is, and what its client said at `initialize`', async () => {
      const node = await joined();
      const id = await node.create();
      const [first, ...others] = (await new TestArchiver(node).of(id)).entries;
      expect(first).toMatchObject({
        created: { principal: ALICE },
        initialize: '{"capabilities":{}}',
      });
      for (const other of others) {
        expect(other.created).toBeUndefined();
        expect(other.initialize).toBeUndefined();
      }
    });

    it('says what the client said at `initialize` with the answer, if the session was stored before', async () => {
      const node = await joined();
      const before = { initialize: '{}', protocolVersion: '', outbound: [], hears: [] };
      const { inbound: _, ...session } = newSession(before);
      await node.backplane.create(session);
      await node.run(session.id, open('p', ['0']));
      const params = '{"clientInfo":{"name":"later"}}';
      await node.say(session.id, 'p', 'answer', {
        ends: '0',
        effect: { type: 'initialize', params, hears: ['tools'], protocolVersion: '2025-06-18' },
      });
      const { entries } = await new TestArchiver(node).of(session.id);
      expect(entries.map(({ initialize }) => initialize)).toEqual([undefined, undefined, params]);
    });

    it('has nothing of nodes without the option', async () => {
      const node = await joined();
      const id = await rig.a.create();
      await rig.a.run(id, open('p', ['1']));
      await node.say(id, STANDALONE, 'copied');
      await rig.a.say(id, STANDALONE, 'not copied');
      const { entries } = await new TestArchiver(node).of(id);
      expect(entries.map(said)).toEqual(['copied']);
    });

    it('has one copy of what is committed twice because a reply was lost', async () => {
      const node = await joined();
      const id = await node.create();
      await node.run(id, open('p', ['1']));
      await node.repeat(id, open('p', ['1']));
      await node.run(id, append('p', 'one'));
      await node.repeat(id, append('p', 'one'));
      const { entries } = await new TestArchiver(node).of(id);
      expect(entries.map(({ entry }) => entry)).toEqual(await node.history(id));
    });

    it('keeps the copies of what is trimmed', async () => {
      const node = await joined({}, { retention: { maxEvents: 3, maxAgeMs: 60_000 } });
      const id = await node.create();
      for (let at = 0; at < 300; at += 1) await node.say(id, STANDALONE, `${at}`);
      expect((await node.history(id)).length).toBeLessThan(300);
      const { entries } = await new TestArchiver(node).of(id);
      expect(entries.slice(3).map(said)).toEqual(Array.from({ length: 300 }, (_, at) => `${at}`));
    });

    it('keeps the copies of a session that its client deletes, and has its end', async () => {
      const node = await joined();
      const id = await node.create();
      await node.say(id, STANDALONE, 'one');
      expect(await node.backplane.remove(id, MALLORY)).toBe(false);
      expect(await node.backplane.remove(id, ALICE)).toBe(true);
      expect(await node.backplane.remove(id, ALICE)).toBe(false);
      const { entries } = await new TestArchiver(node).of(id);
      expect(entries).toHaveLength(5);
      expect(entries.slice(3).map(said)).toEqual(['one', 'deleted']);
    });

    it('has the end of a session that the operator removes, also on a node without the option', async () => {
      const node = await joined();
      const [id, other] = [await node.create(), await rig.a.create()];
      await rig.a.backplane.remove(id, ANY_PRINCIPAL);
      await rig.a.backplane.remove(other, ANY_PRINCIPAL);
      const archiver = new TestArchiver(node);
      expect((await archiver.of(id)).entries.map(said).at(-1)).toBe('removed');
      await expect(archiver.of(other)).rejects.toThrow('No outbox');
    });

    it('gets the end of a session that has expired, once', async () => {
      const node = await joined({}, { pendingTtlMs: 500, sessionTtlMs: 500 });
      const living = await joined();
      const [id, other] = [await node.create(), await living.create()];
      const archiver = new TestArchiver(node);
      const { outbox, entries } = await archiver.of(id);
      await archiver.acknowledge(outbox, entries.at(-1)?.id ?? '', [[id, 'state']]);
      await eventually(async () => {
        await archiver.endExpired(outbox);
        expect((await archiver.of(id)).entries.map(said)).toEqual(['expired']);
      });
      await archiver.endExpired(outbox);
      expect((await archiver.of(id)).entries.map(said)).toEqual(['expired']);
      const theirs = await archiver.of(other);
      await archiver.endExpired(theirs.outbox);
      expect((await archiver.of(other)).entries.map(said)).not.toContain('expired');
    });

    it('begins anew for a session with the id of one that has ended', async () => {
      const node = await joined();
      const id = await node.create();
      await node.backplane.remove(id, ALICE);
      await node.create({ id });
      await node.backplane.remove(id, ALICE);
      const { entries } = await new TestArchiver(node).of(id);
      expect(entries.map(said).filter((what) => what === 'deleted')).toHaveLength(2);
      expect(entries.filter(({ created }) => created !== undefined)).toHaveLength(2);
    });

    it('is read in pages, bounded by entries and by bytes', async () => {
      const node = await joined();
      const id = await node.create();
      for (let at = 0; at < 8; at += 1) await node.say(id, STANDALONE, `${at}`.repeat(50_000));
      const archiver = new TestArchiver(node);
      const { outbox, entries } = await archiver.of(id);
      const read: OutboxEntry[] = [];
      for (;;) {
        const after = read.at(-1)?.id;
        const page = { maxEntries: 4, maxBytes: 90_000, ...(after !== undefined && { after }) };
        const reply = await archiver.read(outbox, page);
        if (reply.status !== 'ok') throw new Error(reply.status);
        if (reply.entries.length === 0) break;
        expect(reply.entries.length).toBeLessThanOrEqual(4);
        const bytes = reply.entries
          .slice(0, -1)
          .reduce((sum, { entry }) => sum + (entry.message?.length ?? 0), 0);
        expect(bytes).toBeLessThan(90_000);
        read.push(...reply.entries);
      }
      expect(read.filter(({ sessionId }) => sessionId === id)).toEqual(entries);
    });

    it('lets one archiver at a time hold the lease', async () => {
      const node = await joined();
      const [one, two] = [new TestArchiver(node), new TestArchiver(rig.a)];
      expect(await one.audit.lease(one.id, 60_000)).toBe(true);
      expect(await two.audit.lease(two.id, 60_000)).toBe(false);
      expect(await one.audit.lease(one.id, 60_000)).toBe(true);
      await two.audit.release(two.id);
      expect(await two.audit.lease(two.id, 60_000)).toBe(false);
      await one.audit.release(one.id);
      expect(await two.audit.lease(two.id, 300)).toBe(true);
      await eventually(async () => {
        expect(await one.audit.lease(one.id, 60_000)).toBe(true);
      });
    });

    it('obeys only the archiver that has claimed it last', async () => {
      const node = await joined();
      const id = await node.create();
      const [former, next] = [new TestArchiver(node), new TestArchiver(rig.a)];
      const { outbox, entries } = await former.of(id);
      const last = entries.at(-1)?.id ?? '';
      await next.claim(outbox);
      expect(await former.read(outbox)).toEqual({ status: 'lost' });
      expect(await former.acknowledge(outbox, last, [[id, 'former']])).toBe('lost');
      const chains = new Map([[id, 'former']]);
      expect(await former.audit.beginChains(outbox, former.id, chains)).toBe('lost');
      expect((await next.of(id)).entries).toEqual(entries);
      expect(await next.audit.chains(outbox, [id])).toEqual([undefined]);
      expect(await next.acknowledge(outbox, last, [[id, 'next']])).toMatchObject({ ordinal: 1 });
    });

    it('loses what is acknowledged, and nothing else', async () => {
      const node = await joined();
      const id = await node.create();
      for (const text of ['one', 'two', 'three']) await node.say(id, STANDALONE, text);
      const archiver = new TestArchiver(node);
      const { outbox, entries } = await archiver.of(id);
      await archiver.acknowledge(outbox, entries[3]?.id ?? '', [[id, 'state']]);
      expect((await archiver.of(id)).entries.map(said)).toEqual(['two', 'three']);
      expect(await archiver.audit.chains(outbox, [id, 'unknown'])).toEqual(['state', undefined]);
      await archiver.acknowledge(outbox, entries[5]?.id ?? '', [[id, undefined]]);
      expect(await archiver.audit.chains(outbox, [id])).toEqual([undefined]);
      const reply = await archiver.read(outbox);
      expect(
        reply.status === 'ok' && reply.entries.filter((each) => each.sessionId === id),
      ).toEqual([]);
    });

    it('tells an archiver that its checkpoint is not the last one', async () => {
      const node = await joined();
      const id = await node.create();
      const archiver = new TestArchiver(node);
      const { outbox, entries } = await archiver.of(id);
      const before = archiver.checkpoint;
      await archiver.acknowledge(outbox, entries[0]?.id ?? '', [[id, 'first']]);
      const after = archiver.checkpoint;
      expect(after.mark).not.toBe(before.mark);
      archiver.checkpoint = before;
      expect(await archiver.read(outbox)).toEqual({ status: 'changed' });
      const repeat = await archiver.acknowledge(outbox, entries[1]?.id ?? '', [[id, 'second']]);
      expect(repeat).toBe('changed');
      expect(await archiver.audit.chains(outbox, [id])).toEqual(['first']);
      await archiver.claim(outbox);
      expect(archiver.checkpoint).toEqual(after);
      expect((await archiver.of(id)).entries).toEqual(entries.slice(1));
    });

    it('keeps the state of a chain that has begun', async () => {
      const node = await joined();
      const id = await node.create();
      const archiver = new TestArchiver(node);
      const { outbox } = await archiver.of(id);
      const begin = (state: string) =>
        archiver.audit.beginChains(outbox, archiver.id, new Map([[id, state]]));
      expect(await begin('first')).toBe('ok');
      expect(await begin('second')).toBe('ok');
      expect(await archiver.audit.chains(outbox, [id])).toEqual(['first']);
    });

    it('says how much waits, and since when', async () => {
      const node = await joined();
      const id = await node.create({ outbound: [] });
      const archiver = new TestArchiver(node);
      const { outbox, entries } = await archiver.of(id);
      const bytes = entries.reduce(
        (sum, { entry }) =>
          sum + 100 + (entry.message === undefined ? 0 : rig.sizeOf(entry.message)),
        0,
      );
      const oldest = entries[0]?.entry.at;
      const waiting = await archiver.audit.waiting();
      expect(waiting.entries).toBe(2);
      // The copy may be dated a moment later than the entry.
      expect(Math.abs((waiting.oldest ?? 0) - (oldest ?? 0))).toBeLessThan(1_000);
      // A store that encodes knows the size of a text only roughly.
      expect(Math.abs(waiting.bytes - bytes)).toBeLessThan(20);
      await archiver.acknowledge(outbox, entries[1]?.id ?? '');
      expect(await archiver.audit.waiting()).toEqual({ bytes: 0, entries: 0 });
    });

    describe('that is full', () => {
      const BIG = 'x'.repeat(3_000);
      /** A bound with room for one big message and some small ones. */
      const oneBig = () => ({ maxSessionBytes: rig.sizeOf(BIG) + 2_000 });

      it('refuses requests and messages of the session, and stores what goes on', async () => {
        const node = await joined(oneBig());
        const id = await node.create();
        const other = await node.create();
        await node.run(id, open('p', ['1']));
        await node.say(id, 'p', BIG);
        await node.say(id, 'p', BIG);
        expect(await node.run(id, open('q', ['2']))).toEqual([{ status: 'full' }]);
        expect(await node.run(id, receive({ to: 'nobody' }))).toEqual([{ status: 'full' }]);
        const mixed = await node.run(id, append('p', 'more'), open('r', ['3']));
        expect(mixed).toMatchObject([{ status: 'appended' }, { status: 'full' }]);
        expect((await node.say(id, 'p', 'answer', { ends: '1' })).ended).toBe(true);
        expect(await node.run(other, open('p', ['1']))).toMatchObject([{ status: 'opened' }]);
        const { entries } = await new TestArchiver(node).of(id);
        expect(entries.map(({ entry }) => entry)).toEqual(await node.history(id));
      });

      it('refuses sessions if the bound in all is reached', async () => {
        // In a Redis Cluster each slot has an outbox, so the second session has to be in the slot of the first.
        const node = await joined({ maxTotalBytes: rig.sizeOf(BIG) + 2_000 });
        const session = newSession();
        await node.backplane.create(session);
        await node.say(session.id, STANDALONE, BIG);
        await node.say(session.id, STANDALONE, BIG);
        await node.backplane.remove(session.id, ALICE);
        await expect(node.backplane.create(session)).rejects.toMatchObject({ code: 'audit_full' });
        expect(await node.backplane.load(session.id)).toBeUndefined();
        const archiver = new TestArchiver(node);
        const { outbox, entries } = await archiver.of(session.id);
        await archiver.acknowledge(outbox, entries.at(-1)?.id ?? '');
        expect(await node.backplane.create(session)).not.toBe(false);
      });

      it('answers a repeat as before, though it has become full since', async () => {
        const node = await joined(oneBig());
        const id = await node.create();
        const operations = [open('p', ['1']), append('p', BIG), append('p', BIG)];
        expect(await node.run(id, ...operations)).toMatchObject([
          { status: 'opened' },
          { status: 'appended' },
          { status: 'appended' },
        ]);
        const reply = await node.repeat(id, ...operations);
        expect(reply).toMatchObject({ results: [{ status: 'opened' }, {}, {}] });
      });

      it('answers the repeat of a refused commit as before, though it has room since', async () => {
        const node = await joined(oneBig());
        const id = await node.create();
        await node.run(id, open('p', ['1']));
        for (const text of [BIG, BIG]) await node.say(id, STANDALONE, text);
        const operations = [append('p', 'more'), open('q', ['2']), receive({ to: 'here' })];
        expect(await node.run(id, ...operations)).toMatchObject([
          { status: 'appended' },
          { status: 'full' },
          { status: 'full' },
        ]);
        // Commits of other nodes are refused before the node sends its commit again.
        for (let count = 0; count < 6; count += 1) {
          const other = await joined(oneBig());
          expect(await other.run(id, receive({ to: 'here' }))).toEqual([{ status: 'full' }]);
        }
        const archiver = new TestArchiver(node);
        const { outbox, entries } = await archiver.of(id);
        await archiver.acknowledge(outbox, entries.at(-1)?.id ?? '', [[id, 'state']]);
        expect(await node.repeat(id, ...operations)).toMatchObject({
          results: [{ status: 'repeated' }, { status: 'full' }, { status: 'full' }],
        });
        expect((await archiver.of(id)).entries).toEqual([]);
        expect(await node.run(id, open('q', ['2']))).toMatchObject([{ status: 'opened' }]);
      });

      it('accepts requests again once the archiver has acknowledged', async () => {
        const node = await joined(oneBig());
        const id = await node.create();
        await node.say(id, STANDALONE, BIG);
        await node.say(id, STANDALONE, BIG);
        expect(await node.run(id, open('p', ['1']))).toEqual([{ status: 'full' }]);
        const archiver = new TestArchiver(node);
        const { outbox, entries } = await archiver.of(id);
        await archiver.acknowledge(outbox, entries.at(-1)?.id ?? '');
        expect(await node.run(id, open('p', ['1']))).toMatchObject([{ status: 'opened' }]);
      });

      it('says with `drop` where entries are missing, before the next entry of the session', async () => {
        const node = await joined({ ...oneBig(), whenFull: 'drop' });
        const id = await node.create();
        await node.say(id, STANDALONE, BIG);
        const left = await node.say(id, STANDALONE, BIG);
        expect(await node.run(id, open('p', ['1']))).toMatchObject([{ status: 'opened' }]);
        await node.say(id, 'p', BIG);
        await node.say(id, 'p', 'small');
        const archiver = new TestArchiver(node);
        const { entries } = await archiver.of(id);
        const [, , , big, ...rest] = entries.map(said);
        expect(big).toBe(BIG);
        // The request still fitted, behind the gap.
        expect(rest).toEqual(['1 missing', '{"call":"p"}', '1 missing', 'small']);
        const [ms] = left.position.logId.split('-');
        expect(entries[4]?.gap).toEqual({ entries: 1, from: Number(ms) });
        expect(await node.history(id)).toHaveLength(8);
      });

      it('has with `drop` the end of a session that had no room at all, after one of the same id', async () => {
        const node = await joined({ maxSessionBytes: 150, whenFull: 'drop' });
        const session = newSession({ outbound: [] });
        const { id } = session;
        await node.backplane.create(session);
        await node.backplane.remove(id, ALICE);
        await node.backplane.create(session);
        await node.backplane.remove(id, ANY_PRINCIPAL);
        const { entries } = await new TestArchiver(node).of(id);
        expect(entries.map(said)).toEqual([
          ...['session.created', '1 missing', 'deleted'],
          ...['2 missing', 'removed'],
        ]);
      });

      it('says with `drop` where entries are missing, though the session says nothing more', async () => {
        const maxTotalBytes = Number.MAX_SAFE_INTEGER;
        const node = await joined({ ...oneBig(), maxTotalBytes, whenFull: 'drop' });
        const id = await node.create();
        await node.say(id, STANDALONE, BIG);
        for (const text of [BIG, BIG]) await node.say(id, STANDALONE, text);
        const archiver = new TestArchiver(node);
        const { outbox, entries } = await archiver.of(id);
        expect(entries.map(said).slice(3)).toEqual([BIG]);
        await archiver.acknowledge(outbox, entries.at(-1)?.id ?? '', [[id, 'state']]);
        expect((await archiver.of(id)).entries.map(said)).toEqual(['2 missing']);
        await node.say(id, STANDALONE, 'next');
        expect((await archiver.of(id)).entries.map(said)).toEqual(['2 missing', 'next']);
      });

      it('says with `drop` at once that an entry is missing, if nothing waits', async () => {
        const maxTotalBytes = Number.MAX_SAFE_INTEGER;
        const maxSessionBytes = rig.sizeOf(BIG);
        const node = await joined({ maxSessionBytes, maxTotalBytes, whenFull: 'drop' });
        const id = await node.create();
        const archiver = new TestArchiver(node);
        const { outbox } = await archiver.of(id);
        const waiting = await archiver.read(outbox);
        const last = waiting.status === 'ok' ? waiting.entries.at(-1)?.id : undefined;
        await archiver.acknowledge(outbox, last ?? '', [[id, 'state']]);
        // No acknowledgment follows, because there is nothing to deliver.
        await node.say(id, STANDALONE, BIG);
        expect((await archiver.of(id)).entries.map(said)).toEqual(['1 missing']);
        await node.say(id, STANDALONE, BIG);
        await node.say(id, STANDALONE, 'next');
        const { entries } = await archiver.of(id);
        expect(entries.map(said)).toEqual(['1 missing', '1 missing', 'next']);
      });
    });
  });
}
