/** Archivers over a memory backplane, with a clock that the test moves. */
import { describe, expect, it, onTestFinished } from 'vitest';
import { Archiver } from '../../src/audit/archiver/archiver.js';
import type { ArchiverOptions } from '../../src/audit/archiver/archiver.js';
import { hashOf } from '../../src/audit/chain.js';
import type { AuditRecord, AuditSink } from '../../src/audit/record.js';
import { sinkOf } from '../../src/audit/archiver/sink-of.js';
import type { AuditOutboxes, OutboxLimits } from '../../src/backplane/backplane.js';
import { memoryBackplane } from '../../src/index.js';
import { unavailable } from '../../src/protocol/errors.js';
import { open, TestNode } from '../contract/suite/rig.js';
import { ManualClock, settled } from '../unit/support/manual-clock.js';

const LIMITS: OutboxLimits = {
  whenFull: 'refuse',
  maxSessionBytes: 10_000_000,
  maxTotalBytes: 100_000_000,
};
const LEASE_MS = 9_000;
const PRINCIPAL = 'as:ada';

/** A sink that keeps each record once, as its hash says, and counts those that came again. */
class TestSink implements AuditSink {
  readonly records = new Map<string, AuditRecord>();
  readonly batches: (readonly AuditRecord[])[] = [];
  /** What the next writes do before they resolve. */
  onWrite: (() => Promise<void> | void) | undefined;
  closes = 0;

  async write(records: readonly AuditRecord[]): Promise<void> {
    this.batches.push(records);
    for (const record of records) this.records.set(record.hash, record);
    await this.onWrite?.();
  }

  close(): Promise<void> {
    this.closes += 1;
    return Promise.resolve();
  }

  get count(): number {
    return this.batches.flat().length;
  }

  /** The records of a session, each once. Checks that they are whole chains. */
  of(sessionId: string): AuditRecord[] {
    const records = [...this.records.values()].filter(({ session }) => session === sessionId);
    let before: AuditRecord | undefined;
    for (const record of records) {
      expect(record.hash).toBe(hashOf(record));
      const goesOn = record.chain === before?.chain;
      expect(record.previous).toBe(goesOn ? before?.hash : '');
      expect(record.seq).toBe(goesOn ? (before?.seq ?? 0) + 1 : 1);
      before = record;
    }
    return records;
  }
}

/** A node on a backplane of its own, and the archivers of the test. */
function world(limits: Partial<OutboxLimits> = {}, sessionTtlMs = 60_000) {
  const clock = new ManualClock();
  const store = memoryBackplane();
  const overrides = { clock, sessionTtlMs, pendingTtlMs: sessionTtlMs };
  const node = new TestNode(store, { ...overrides, audit: { ...LIMITS, ...limits } });
  const without = new TestNode(store, overrides);
  const outboxes = node.backplane.audit;
  if (outboxes === undefined) throw new Error('There are no outboxes');
  let count = 0;
  const logged: string[] = [];
  const log = (text: string): void => void logged.push(text);
  return {
    ...{ clock, node, outboxes, logged },
    /** Creates a session whose only entry is the note that says so. */
    create: async ({ id = `s${(count += 1)}`, on = node } = {}): Promise<string> => {
      const initialize = '{"clientInfo":{"name":"cli","version":"1"}}';
      const about = { initialize, protocolVersion: '2025-06-18', principal: PRINCIPAL, hears: [] };
      await on.backplane.create({ ...about, id, stream: 'init', outbound: [] });
      return id;
    },
    /** A node of the same backplane without the option `audit`. */
    without,
    /** Logs messages of a session. */
    say: async (sessionId: string, ...texts: string[]): Promise<void> => {
      for (const text of texts) {
        const stream = `${node.id}${String((count += 1))}`;
        const message = { jsonrpc: '2.0', id: text, method: 'tools/call', params: { name: text } };
        await node.run(
          sessionId,
          open(stream, [JSON.stringify(text)], {
            messages: [JSON.stringify(message)],
            principal: PRINCIPAL,
          }),
        );
      }
    },
    archiver: (sink: AuditSink, options: Partial<ArchiverOptions> = {}): Archiver => {
      const archiver = new Archiver({
        ...{ outboxes, sessions: node.backplane, sink, archiver: `archiver${(count += 1)}` },
        ...{ leaseMs: LEASE_MS, clock, logger: { info: log, warn: log, error: log } },
        ...options,
      });
      archiver.start();
      onTestFinished(() => clock.advance(0));
      return archiver;
    },
  };
}

const toolsOf = (records: AuditRecord[]) => records.flatMap(({ tool }) => tool ?? []);

describe('an archiver', () => {
  it('delivers the entries of each session once, and in their order', async () => {
    const { clock, create, say, archiver } = world();
    const sink = new TestSink();
    archiver(sink);
    const sessions = [await create(), await create()];
    for (let at = 0; at < 1_500; at += 1) await say(sessions[at % 2] ?? '', `t${at}`);
    await clock.advance(1_000);
    for (const [at, session] of sessions.entries()) {
      const tools = Array.from({ length: 750 }, (_, index) => `t${index * 2 + at}`);
      expect(toolsOf(sink.of(session))).toEqual(tools);
    }
    expect(sink.count).toBe(sink.records.size);
    const ordinals = [...sink.records.values()].map(({ ordinal }) => ordinal);
    expect(ordinals).toEqual(ordinals.map((_, at) => at + 1));
  });

  it('delivers a batch again after a failed write, with the same hashes', async () => {
    const { clock, create, say, archiver, logged } = world();
    const sink = new TestSink();
    let failures = 2;
    sink.onWrite = () => {
      failures -= 1;
      if (failures >= 0) throw new Error('disk full');
    };
    archiver(sink);
    const session = await create();
    await say(session, 'one', 'two');
    await clock.advance(3_000);
    expect(sink.batches.slice(0, 3).map((batch) => batch.length)).toEqual([3, 3, 3]);
    await say(session, 'three');
    await clock.advance(1_000);
    expect(toolsOf(sink.of(session))).toEqual(['one', 'two', 'three']);
    expect(logged).toEqual([
      expect.stringContaining('does not take records, which wait in the backplane: disk full'),
      expect.stringContaining('takes records again'),
    ]);
  });

  it('gives its lease up if its sink fails for long, and another one goes on', async () => {
    const { clock, create, say, archiver } = world({}, 600_000);
    const [broken, sink] = [new TestSink(), new TestSink()];
    broken.onWrite = () => Promise.reject(new Error('no disk'));
    archiver(broken);
    const session = await create();
    await say(session, 'one');
    await clock.advance(1_000);
    archiver(sink);
    await clock.advance(60_000);
    expect(toolsOf(sink.of(session))).toEqual(['one']);
    expect(sink.records.size).toBe(2);
    for (const hash of broken.records.keys()) expect(sink.records.has(hash)).toBe(true);
  });

  it('delivers after a crash what was not acknowledged, with the same hashes', async () => {
    const { clock, create, node, say, archiver, outboxes } = world();
    const sink = new TestSink();
    let hasCrashed = false;
    const crashing: AuditOutboxes = {
      ...outboxes,
      acknowledge: (outbox, delivered) => {
        if (!hasCrashed) return outboxes.acknowledge(outbox, delivered);
        return new Promise(() => undefined);
      },
    };
    const first = archiver(sink, { outboxes: crashing });
    const session = await create();
    await say(session, 'one');
    await clock.advance(1_000);
    hasCrashed = true;
    await say(session, 'two');
    await node.backplane.remove(session, PRINCIPAL);
    await clock.advance(1_000);
    const before = sink.count;
    void first.close(10);
    archiver(sink);
    await clock.advance(60_000);
    // The records that were not acknowledged came twice, and are the same.
    expect(sink.count).toBe(before + 2);
    expect(sink.records.size).toBe(before);
    expect(sink.of(session).at(-1)).toMatchObject({ type: 'session.ended', reason: 'deleted' });
  });

  it('delivers nothing twice if only the reply to an acknowledgment was lost', async () => {
    const { clock, create, say, archiver, outboxes } = world();
    const sink = new TestSink();
    let losses = 2;
    const losing: AuditOutboxes = {
      ...outboxes,
      acknowledge: async (outbox, delivered) => {
        const reply = await outboxes.acknowledge(outbox, delivered);
        losses -= 1;
        if (losses >= 0) throw unavailable(new Error('cut'));
        return reply;
      },
    };
    archiver(sink, { outboxes: losing });
    const session = await create();
    await clock.advance(1_000);
    await say(session, 'one');
    await clock.advance(2_000);
    await say(session, 'two');
    await clock.advance(1_000);
    expect(losses).toBeLessThan(0);
    expect(toolsOf(sink.of(session))).toEqual(['one', 'two']);
    expect(sink.count).toBe(sink.records.size);
  });

  it('begins another chain if the stored state is malformed, and the same one again after a crash', async () => {
    const { clock, create, say, archiver, outboxes, logged } = world();
    const sink = new TestSink();
    const session = await create();
    await outboxes.claim('all', 'vandal');
    await outboxes.beginChains('all', 'vandal', new Map([[session, '{"v":1,"open":7}']]));
    let loses = true;
    const losing: AuditOutboxes = {
      ...outboxes,
      acknowledge: (outbox, delivered) =>
        loses ? Promise.reject(unavailable('cut')) : outboxes.acknowledge(outbox, delivered),
    };
    archiver(sink, { outboxes: losing });
    await clock.advance(1_000);
    loses = false;
    await say(session, 'one');
    await clock.advance(10_000);
    expect(sink.of(session)).toMatchObject([{ type: 'session.created' }, { tool: 'one' }]);
    expect(sink.count).toBeGreaterThan(2);
    expect(logged[0]).toContain('the stored state of a chain of the audit trail is malformed');
  });

  it('makes another chain for a session that is created again with the same id', async () => {
    const { clock, create, node, archiver, outboxes } = world();
    const sink = new TestSink();
    let loses = true;
    const losing: AuditOutboxes = {
      ...outboxes,
      acknowledge: async (outbox, delivered) => {
        if (loses) throw unavailable(new Error('cut'));
        return outboxes.acknowledge(outbox, delivered);
      },
    };
    for (let round = 0; round < 3; round += 1) {
      await create({ id: 'same' });
      await clock.advance(1);
      await node.backplane.remove('same', PRINCIPAL);
      await clock.advance(1);
    }
    archiver(sink, { outboxes: losing });
    await clock.advance(2_000);
    loses = false;
    await clock.advance(10_000);
    const records = sink.of('same');
    expect(new Set(records.map(({ chain }) => chain)).size).toBe(3);
    expect(records.map(({ type }) => type)).toEqual(
      [1, 2, 3].flatMap(() => ['session.created', 'session.ended']),
    );
    expect(sink.count).toBeGreaterThan(6);
  });

  it('tells the end of a session that has expired', async () => {
    const { clock, create, node, archiver } = world({}, 20_000);
    const sink = new TestSink();
    archiver(sink);
    const session = await create();
    await clock.advance(10_000);
    expect(sink.of(session)).toMatchObject([{ type: 'session.created' }]);
    await clock.advance(30_000);
    expect(sink.of(session)[1]).toMatchObject({ type: 'session.ended', reason: 'expired' });
    expect(await node.backplane.audit?.chains('all', [session])).toEqual([undefined]);
  });

  it('begins the chain of a session in the middle, with its principal, client and protocol', async () => {
    const { clock, create, without, say, archiver } = world();
    const sink = new TestSink();
    archiver(sink);
    const session = await create({ on: without });
    await say(session, 'one');
    await clock.advance(1_000);
    expect(sink.of(session)).toMatchObject([
      { seq: 1, tool: 'one', principal: 'ada', client: 'cli 1', protocol: '2025-06-18' },
    ]);
  });

  it('logs how many entries a full outbox has left out', async () => {
    const { clock, create, say, archiver, logged } = world({
      ...{ whenFull: 'drop', maxSessionBytes: 1_000 },
    });
    const sink = new TestSink();
    const session = await create();
    await say(session, ...Array.from({ length: 20 }, (_, at) => `t${at}`));
    archiver(sink);
    await clock.advance(1_000);
    await say(session, 'after');
    await clock.advance(1_000);
    const records = sink.of(session);
    const gap = records.find(({ type }) => type === 'gap');
    const missing = gap?.missing?.entries ?? 0;
    expect(missing).toBe(22 - records.length + 1);
    expect(logged).toEqual([
      `mcp-anynode: ${missing} entries are missing in the audit trail, because its outbox was full`,
    ]);
  });
});

describe('of two archivers', () => {
  it('one works, and the other takes over when the first has closed', async () => {
    const { clock, create, say, archiver } = world();
    const [one, two] = [new TestSink(), new TestSink()];
    const first = archiver(one);
    await clock.advance(100);
    archiver(two);
    const session = await create();
    await say(session, 'one');
    await clock.advance(LEASE_MS);
    expect(one.records.size).toBe(2);
    expect(two.records.size).toBe(0);
    await first.close(100);
    expect(one.closes).toBe(1);
    await say(session, 'two');
    await clock.advance(LEASE_MS);
    expect([...two.records.values()]).toMatchObject([{ tool: 'two', seq: 3 }]);
  });

  it('the one that was paused past its lease acknowledges nothing', async () => {
    const { clock, create, say, archiver, outboxes } = world();
    const [one, two] = [new TestSink(), new TestSink()];
    let goOn = (): void => undefined;
    let isPaused = false;
    const paused: AuditOutboxes = {
      ...outboxes,
      lease: (id, ms) => (isPaused ? new Promise(() => undefined) : outboxes.lease(id, ms)),
    };
    archiver(one, { outboxes: paused });
    const session = await create();
    await say(session, 'one');
    await clock.advance(1_000);
    one.onWrite = () =>
      new Promise<void>((resolve) => {
        isPaused = true;
        goOn = resolve;
      });
    await say(session, 'two');
    await clock.advance(1_000);
    expect(isPaused).toBe(true);
    archiver(two);
    await clock.advance(3 * LEASE_MS);
    expect(toolsOf([...two.records.values()])).toEqual(['two']);
    const { ordinal } = await outboxes.claim('all', 'look');
    goOn();
    await settled();
    expect(await outboxes.claim('all', 'look')).toMatchObject({ ordinal });
    await say(session, 'three');
    await clock.advance(3 * LEASE_MS);
    expect(toolsOf([...two.records.values()])).toEqual(['two', 'three']);
    // Both have made the same record of what both have delivered.
    const again = [...one.records.values()].at(-1);
    expect(two.records.get(again?.hash ?? '')).toEqual(again);
  });
});

describe('an archiver that closes', () => {
  it('delivers what waits, releases its lease, and closes its sink after the last write', async () => {
    const { clock, create, say, archiver, outboxes } = world();
    const sink = new TestSink();
    const one = archiver(sink);
    await clock.advance(100);
    const session = await create();
    for (let at = 0; at < 2_500; at += 1) await say(session, `t${at}`);
    const closed = one.close(5_000);
    await clock.advance(1_000);
    await closed;
    expect(sink.of(session)).toHaveLength(2_501);
    expect(sink.closes).toBe(1);
    expect(await outboxes.lease('another', 1)).toBe(true);
    expect(await outboxes.waiting()).toMatchObject({ entries: 0 });
    expect(clock.pending).toBe(0);
  });

  it('does not wait longer than its limit for a sink that hangs', async () => {
    const { clock, create, archiver } = world();
    const sink = new TestSink();
    sink.onWrite = () => new Promise(() => undefined);
    const one = archiver(sink);
    await create();
    await clock.advance(500);
    let isClosed = false;
    void one.close(1_000).then(() => (isClosed = true));
    await clock.advance(900);
    expect(isClosed).toBe(false);
    await clock.advance(200);
    expect(isClosed).toBe(true);
    expect(sink.closes).toBe(0);
  });

  it('gives up at once if its sink fails', async () => {
    const { clock, create, archiver } = world();
    const sink = sinkOf(() => {
      throw new Error('full');
    });
    await create();
    const one = archiver(sink);
    let isClosed = false;
    void one.close(10_000).then(() => (isClosed = true));
    await clock.advance(100);
    expect(isClosed).toBe(true);
  });
});
