/** The outbox of the audit trail in Redis: what the contract of all backplanes does not say. */
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import type {
  AuditOutboxes,
  OutboxCheckpoint,
  OutboxEntry,
  OutboxLimits,
} from '../../src/backplane/backplane.js';
import { ANY_PRINCIPAL, STANDALONE } from '../../src/backplane/backplane.js';
import { RedisObservation } from '../../src/backplane/redis/redis-observation.js';
import { systemClock } from '../../src/protocol/timing/clock.js';
import { commandCounts, commandsBetween, type CommandCounts } from '../support/commandstats.js';
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.js';
import { ownRedis } from './support/own-redis.js';
import { ALICE, append, newSession, open, receive, type TestNode } from './suite/rig.js';

const own = ownRedis();
const OUTBOX = 'all';
const MIB = 1024 * 1024;

function limits(more: Partial<OutboxLimits> = {}): OutboxLimits {
  return { whenFull: 'refuse', maxSessionBytes: MIB, maxTotalBytes: 16 * MIB, ...more };
}

/** An archiver of the test: it claims, reads all and acknowledges. */
class Archiver {
  private checkpoint: OutboxCheckpoint = { mark: '', ordinal: 0 };

  constructor(
    readonly outboxes: AuditOutboxes,
    readonly name = 'archiver',
  ) {}

  async claim(): Promise<OutboxCheckpoint> {
    this.checkpoint = await this.outboxes.claim(OUTBOX, this.name);
    return this.checkpoint;
  }

  read(more: { after?: string; maxEntries?: number; maxBytes?: number } = {}) {
    const { mark } = this.checkpoint;
    const page = { maxEntries: 1_000, maxBytes: MIB, ...more };
    return this.outboxes.readOutbox(OUTBOX, { archiver: this.name, mark, ...page });
  }

  async entries(more: Parameters<Archiver['read']>[0] = {}): Promise<OutboxEntry[]> {
    const reply = await this.read(more);
    if (reply.status !== 'ok') throw new Error(reply.status);
    return reply.entries;
  }

  async acknowledge(upTo: OutboxEntry | undefined, chains: [string, string | undefined][] = []) {
    const reply = await this.outboxes.acknowledge(OUTBOX, {
      ...{ archiver: this.name, mark: this.checkpoint.mark, upTo: upTo?.id ?? '' },
      ...{ chains: new Map(chains), ordinal: this.checkpoint.ordinal + 1 },
    });
    if (typeof reply !== 'string') this.checkpoint = reply;
    return reply;
  }
}

let node: TestNode;
let archiver: Archiver;

function archiverOf(of: TestNode, name?: string): Archiver {
  if (of.backplane.audit === undefined) throw new Error('Redis has outboxes');
  return new Archiver(of.backplane.audit, name);
}

async function join(more: Partial<OutboxLimits> = {}, redis?: string): Promise<TestNode> {
  return own.join(redis, { audit: limits(more) });
}

beforeEach(async () => {
  node = await join();
  archiver = archiverOf(node);
  await archiver.claim();
});

/** What an entry of the outbox is about, in a word or two. */
function brief({ entry, ended, gap }: OutboxEntry): string {
  if (ended !== undefined) return ended;
  if (gap !== undefined) return `gap of ${gap.entries}`;
  return entry.note?.kind ?? entry.message ?? 'end of stream';
}

const key = (more = ''): string => `${own.prefix}:audit:{all}${more}`;

describe('the outbox', () => {
  it('has a copy of each entry of the log, with the same fields and in the same order', async () => {
    const other = await join();
    const id = await node.create({ seal: 'sealed', hears: ['tools'] });
    await node.run(id, receive({ to: 'initialized' }, 'initialized'));
    await node.run(id, open('p', ['1'], { trace: `00-${'1'.repeat(32)}-${'2'.repeat(16)}-01` }));
    await node.run(
      id,
      append('p', 'progress'),
      append(STANDALONE, 'asked', { asks: true }),
      append('p', 'answer', { ends: '1' }),
    );
    await other.run(id, open('q', ['2']), append('q', undefined, { ends: '2' }));
    await other.run(id, {
      ...{ type: 'note', kind: 'request.failed', stream: 'q', request: '2', from: 'dead' },
    });
    const { position } = await other.say(id, STANDALONE, 'news');
    await other.hold(id, STANDALONE, { cursor: position });
    await other.run(id, receive({ to: 'nobody' }, 'large'.repeat(100_000)));

    const log = await node.history(id);
    const copies = await archiver.entries();
    expect(copies.map(({ entry }) => entry)).toEqual(log);
    expect(log.length).toBeGreaterThan(12);
    expect(new Set(copies.map(({ sessionId }) => sessionId))).toEqual(new Set([id]));
    const [first, ...rest] = copies;
    expect(first?.created).toEqual({ principal: ALICE, seal: 'sealed' });
    expect(first?.initialize).toBe('{"capabilities":{}}');
    expect(rest.filter((copy) => copy.created ?? copy.initialize)).toEqual([]);
    const bytes = log.reduce((sum, { message = '' }) => sum + 100 + message.length, 0);
    const { oldest = 0, ...counts } = await archiver.outboxes.waiting();
    expect(counts).toEqual({ bytes, entries: log.length });
    // The entry of the log and its copy may be of two milliseconds.
    expect(Math.abs(oldest - (log[0]?.at ?? 0))).toBeLessThan(1000);
  });

  it('keeps long params of `initialize` that the record has in pieces, and those that come with a later answer', async () => {
    const long = JSON.stringify({ text: 'ä'.repeat(200) });
    const id = await node.create({ initialize: long });
    const later = await node.create({ protocolVersion: '', outbound: [] });
    await node.run(
      later,
      append(STANDALONE, 'answer', {
        effect: { type: 'initialize', hears: [], params: long, protocolVersion: '1' },
      }),
    );
    const known = (await archiver.entries()).filter(({ initialize }) => initialize !== undefined);
    expect(known.map((copy) => [copy.sessionId, brief(copy), copy.initialize])).toEqual([
      [id, 'session.created', long],
      [later, 'answer', long],
    ]);
  });

  it('is not made by a node without the option, and loses nothing with the session', async () => {
    const without = await own.join();
    const id = await without.create();
    await without.run(id, open('p', ['1']));
    await without.backplane.remove(id, ALICE);
    expect(await own.admin.exists(key(), key(':chains'), key(':gaps'))).toBe(0);
    const audited = await node.create();
    await without.backplane.remove(audited, ANY_PRINCIPAL);
    expect((await archiver.entries()).map(brief)).toEqual([
      ...['session.created', '{"method":"initialize"}', '{"result":"initialized"}', 'removed'],
    ]);
  });

  it('gets the end of a session that an observer has ended', async () => {
    const observation = new RedisObservation({
      ...{ redis: own.server.url, prefix: own.prefix, clock: systemClock },
      ...{ commandTimeoutMs: 2_000, logger: { warn: () => undefined } },
    });
    onTestFinished(() => observation.close());
    const id = await node.create();
    await observation.remove(id, ANY_PRINCIPAL);
    const [last] = (await archiver.entries()).slice(-1);
    expect(last).toMatchObject({ sessionId: id, ended: 'removed' });
    expect((await observation.audit.waiting()).entries).toBe(4);
  });

  it('gets the end of an expired session once, also if another session gets its id', async () => {
    const session = newSession();
    await node.backplane.create(session);
    const first = await archiver.entries();
    await archiver.outboxes.beginChains(OUTBOX, 'archiver', new Map([[session.id, 'state']]));
    await archiver.acknowledge(first.at(-1));
    await own.admin.del(`${own.prefix}:{${session.id}}`, `${own.prefix}:{${session.id}}:streams`);
    expect(await archiver.outboxes.endExpired(OUTBOX, 100)).toEqual({});
    await archiver.outboxes.endExpired(OUTBOX, 100);
    await node.backplane.create(session);
    await archiver.outboxes.endExpired(OUTBOX, 100);
    expect((await archiver.entries()).map(brief).slice(0, 2)).toEqual([
      ...['expired', 'session.created'],
    ]);
    // The end of the first one is acknowledged after the second one has ended.
    await node.backplane.remove(session.id, ALICE);
    const [end] = await archiver.entries();
    await archiver.acknowledge(end, [[session.id, undefined]]);
    await archiver.outboxes.beginChains(OUTBOX, 'archiver', new Map([[session.id, 'second']]));
    await archiver.outboxes.endExpired(OUTBOX, 100);
    const rest = await archiver.entries();
    expect(rest.map(brief)).toEqual([
      ...['session.created', '{"method":"initialize"}', '{"result":"initialized"}', 'deleted'],
    ]);
    await archiver.acknowledge(rest.at(-1), [[session.id, undefined]]);
    expect(await own.admin.hkeys(key(':counts'))).toEqual(expect.not.arrayContaining(['e:']));
    expect(
      (await own.admin.hkeys(key(':counts'))).filter((field) => field.includes(session.id)),
    ).toEqual([]);
  });

  it('ends the chain of an expired session when another session gets its id', async () => {
    const session = newSession();
    await node.backplane.create(session);
    await own.admin.del(`${own.prefix}:{${session.id}}`, `${own.prefix}:{${session.id}}:streams`);
    await node.backplane.create(session);
    expect((await archiver.entries()).map(brief)).toEqual([
      ...['session.created', '{"method":"initialize"}', '{"result":"initialized"}', 'expired'],
      ...['session.created', '{"method":"initialize"}', '{"result":"initialized"}'],
    ]);
  });

  it('ends many expired chains, a hundred in one step', async () => {
    const ids = await Promise.all(Array.from({ length: 250 }, () => node.create()));
    const chains = new Map(ids.map((id) => [id, 'state'] as const));
    await archiver.outboxes.beginChains(OUTBOX, 'archiver', chains);
    const alive = ids.slice(0, 20);
    for (const id of ids.slice(20))
      await own.admin.del(`${own.prefix}:{${id}}`, `${own.prefix}:{${id}}:streams`);
    await archiver.acknowledge((await archiver.entries()).at(-1));
    let from: string | undefined;
    do {
      ({ next: from } = await archiver.outboxes.endExpired(OUTBOX, 50, from));
    } while (from !== undefined);
    const ended = (await archiver.entries()).map(({ sessionId }) => sessionId);
    expect(new Set(ended)).toEqual(new Set(ids.slice(20)));
    expect(ended).toHaveLength(230);
    expect(ended).not.toEqual(expect.arrayContaining(alive));
  });

  it('reads large entries one at a time, and small ones together', async () => {
    const id = await node.create();
    for (let at = 0; at < 4; at += 1) await node.say(id, STANDALONE, `${at}`.repeat(600_000));
    const pages: number[] = [];
    for (let after: string | undefined; ;) {
      const some = await archiver.entries(after === undefined ? {} : { after });
      if (some.length === 0) break;
      pages.push(some.length);
      after = some.at(-1)?.id;
    }
    expect(pages).toEqual([4, 1, 1, 1]);
    expect(await archiver.entries({ maxEntries: 2 })).toHaveLength(2);
    expect(await archiver.entries({ maxBytes: 1 })).toHaveLength(1);
  });
});

it('takes three more commands of a step that logs one entry, and no more scripts', async () => {
  const without = await own.join();
  const costOf = async (by: TestNode): Promise<CommandCounts> => {
    const id = await by.create();
    // The first entry makes a stream of the log, and what lives for hours is prolonged once in a second.
    await by.run(id, open('warm', ['0']));
    await by.say(id, 'warm', 'warm');
    const before = await commandCounts(own.admin);
    await by.run(id, open('p', ['1']));
    await by.say(id, 'p', 'answer', { ends: '1' });
    return commandsBetween(before, await commandCounts(own.admin));
  };
  await costOf(node);
  const difference = async () => {
    const [plain, audited] = [await costOf(without), await costOf(node)];
    const all = Object.entries(audited).map(([name, count]) => [name, count - (plain[name] ?? 0)]);
    return Object.fromEntries(all.filter(([, more]) => more !== 0)) as CommandCounts;
  };
  // What is done once in a second, or by the nodes themselves, may fall into one of the two.
  await expect.poll(difference).toEqual({ xadd: 2, hmget: 2, hset: 2 });
});

// An archiver reads the next page while it delivers one. The acknowledgment of either must not read the entries again.
it('is acknowledged page by page by the node that has read it, and by another node, with the same counts', async () => {
  const other = await join();
  const ids = [await node.create(), await node.create()];
  const text = 'ä'.repeat(200);
  const size = 100 + Buffer.byteLength(text);
  for (let at = 0; at < 10; at += 1) await node.say(ids[at % 2] ?? '', STANDALONE, text);
  await node.backplane.remove(ids[1] ?? '', ALICE);
  const reads = async () =>
    Number(/cmdstat_xrange:calls=(\d+)/.exec(await own.admin.info('commandstats'))?.[1]);
  const first = await archiver.entries({ maxEntries: 8 });
  const second = await archiver.entries({ maxEntries: 4, after: first.at(-1)?.id ?? '' });
  const before = await reads();
  await archiver.acknowledge(first.at(-1));
  expect((await archiver.outboxes.waiting()).bytes).toBe(8 * size + 100);
  await archiver.acknowledge(second.at(-1));
  // One for each last entry, and one for the oldest that waits.
  expect((await reads()) - before).toBe(3);
  const fields = await own.admin.hgetall(key(':counts'));
  expect(fields).toMatchObject({
    ...{ b: String(4 * size + 100), [`b:${ids[0] ?? ''}`]: String(2 * size) },
    ...{ [`b:${ids[1] ?? ''}`]: String(2 * size + 100) },
  });
  expect(fields[`e:${ids[1] ?? ''}`]).toBeDefined();
  const third = await archiver.entries();
  const elsewhere = archiverOf(other);
  await elsewhere.claim();
  await elsewhere.acknowledge(third.at(-1));
  expect(Object.keys(await own.admin.hgetall(key(':counts'))).sort()).toEqual(['a', 'b', 'm', 'n']);
  expect((await archiver.outboxes.waiting()).bytes).toBe(0);
});

describe('a full outbox that drops', () => {
  it('has the gaps of all sessions after acknowledgments, although most of them wrote nothing more', async () => {
    const tight = await join({ whenFull: 'drop', maxTotalBytes: 2_000 });
    const ids = await Promise.all(Array.from({ length: 300 }, () => tight.create()));
    const gaps = new Map<string, number>();
    const seen = new Map<string, number>();
    for (;;) {
      const entries = await archiver.entries();
      if (entries.length === 0) break;
      for (const { sessionId, gap } of entries) {
        if (gap !== undefined) gaps.set(sessionId, (gaps.get(sessionId) ?? 0) + gap.entries);
        else seen.set(sessionId, (seen.get(sessionId) ?? 0) + 1);
      }
      const sessions = new Set(entries.map(({ sessionId }) => sessionId));
      await archiver.acknowledge(
        entries.at(-1),
        [...sessions].map((id) => [id, 'state']),
      );
    }
    for (const id of ids) expect((gaps.get(id) ?? 0) + (seen.get(id) ?? 0)).toBe(3);
    expect(await own.admin.hkeys(key(':gaps'))).toEqual(['']);
    expect(await own.admin.hget(key(':counts'), 'g')).toBe('0');
    expect(await archiver.outboxes.waiting()).toEqual({ bytes: 0, entries: 0 });
  }, 30_000);
});

describe('a full Redis', () => {
  it('lets the archiver claim, read and acknowledge', async () => {
    const id = await node.create();
    await own.admin.config('SET', 'maxmemory', '1');
    onTestFinished(() => void own.admin.config('SET', 'maxmemory', '0'));
    expect(await archiver.outboxes.lease('other', 5_000)).toBe(true);
    const other = archiverOf(node, 'other');
    await other.claim();
    expect(await archiver.read()).toEqual({ status: 'lost' });
    expect(await archiver.acknowledge({ id: '1-0  ' } as OutboxEntry)).toBe('lost');
    const begun = new Map([[id, 'state']]);
    expect(await archiver.outboxes.beginChains(OUTBOX, 'archiver', begun)).toBe('lost');
    expect(await other.outboxes.beginChains(OUTBOX, 'other', begun)).toBe('ok');
    expect(await other.outboxes.endExpired(OUTBOX, 10)).toEqual({});
    const entries = await other.entries();
    expect(await other.acknowledge(entries.at(-1), [[id, 'next']])).toMatchObject({ ordinal: 1 });
    expect(await other.outboxes.chains(OUTBOX, [id, 'none'])).toEqual(['next', undefined]);
    expect((await other.outboxes.waiting()).bytes).toBe(0);
    await other.outboxes.release('other');
    expect(await own.admin.exists(`${own.prefix}:audit:archiver`)).toBe(0);
  });
});

describe('what Redis holds', () => {
  it('counts as a gap of one entry if no script has written it, and does not stop the archiver', async () => {
    const id = await node.create();
    await own.admin.xadd(key(), '*', 'any', 'thing');
    await own.admin.xadd(key(), '*', 'u', id, 'i', 'no log id', 'm', '{}');
    await own.admin.xadd(key(), '*', 'u', id, 'gap', '-3', 'from', '1');
    await own.admin.xadd(key(), '*', 'u', id, 'end', 'tired');
    await node.say(id, STANDALONE, 'news');
    const entries = await archiver.entries();
    expect(entries.slice(3).map((each) => [each.sessionId, brief(each)])).toEqual([
      ['-', 'gap of 1'],
      ...[1, 2, 3].map(() => [id, 'gap of 1']),
      [id, 'news'],
    ]);
    expect(node.warnings.filter((text) => text.includes('malformed'))).toHaveLength(1);
    expect(await archiver.acknowledge(entries.at(-1))).toMatchObject({ ordinal: 1 });
    expect(await archiver.entries()).toEqual([]);
  });

  it('ends no session if the outbox is of another type or its counts are no numbers', async () => {
    const id = await node.create();
    await own.admin.hset(key(':counts'), 'b', 'nan', `b:${id}`, '1e999', 'g', '-1');
    await node.say(id, STANDALONE, 'news');
    expect(await own.admin.hget(key(':counts'), 'b')).toBe('104');
    await own.admin.set(key(':counts'), 'text');
    await expect(node.say(id, STANDALONE, 'refused')).rejects.toMatchObject({
      code: 'backplane_unavailable',
    });
    await own.admin.del(key(':counts'));
    await node.say(id, STANDALONE, 'more');
    const said = (await node.said(id)).map(({ message }) => message);
    expect(said.slice(2)).toEqual(['news', 'more']);
  });

  // A failover loses the end of the outbox after an archiver has read it, and another entry gets its place.
  it('is `changed` for an archiver whose last entry is not the one that it has read', async () => {
    const id = await node.create();
    const read = (await archiver.entries()).at(-1);
    const [place = ''] = read?.id.split(' ') ?? [];
    await own.admin.xdel(key(), place);
    expect(await archiver.read({ after: read?.id ?? '' })).toEqual({ status: 'changed' });
    expect(await archiver.acknowledge(read)).toBe('changed');
    await own.admin.del(key());
    await own.admin.xadd(key(), place, 'u', id, 'i', '5-5', 'm', 'another');
    expect(await archiver.read({ after: read?.id ?? '' })).toEqual({ status: 'changed' });
    expect(await archiver.acknowledge(read)).toBe('changed');
    expect((await archiver.entries()).map(brief)).toEqual(['another']);
  });
});

describe('a connection that is cut before the reply', () => {
  let proxy: TcpProxy;
  let near: TestNode;
  let id = '';

  beforeEach(async () => {
    proxy = await startTcpProxy({ target: { port: own.server.port } });
    near = await join({ maxSessionBytes: 1_000 }, `redis://127.0.0.1:${proxy.port}`);
    onTestFinished(async () => {
      await own.leaveAll();
      await proxy.stop();
    });
    const warm = await node.create();
    await node.say(warm, STANDALONE, 'warm');
    await node.backplane.remove(warm, ALICE);
    id = await node.create();
    const entries = await archiver.entries();
    await archiver.acknowledge(entries.at(-1));
  });

  async function cut<T>(word: string, step: () => Promise<T>): Promise<T> {
    const sprung = proxy.cutBeforeReply((data) => data.includes(word));
    const reply = await step();
    await sprung;
    return reply;
  }

  it('leaves one copy of what a step has logged', async () => {
    await cut(id, () => near.commit(id, open('p', ['1']), append('p', 'answer', { ends: '1' })));
    expect((await archiver.entries()).map(brief)).toEqual(['{"call":"p"}', 'answer']);
  });

  it('leaves one copy of what the creation of a session has logged, and one end', async () => {
    const session = newSession();
    await cut(session.id, () => near.backplane.create(session));
    await cut(session.id, () => near.backplane.remove(session.id, ALICE));
    expect((await archiver.entries()).map(brief)).toEqual([
      ...['session.created', '{"method":"initialize"}', '{"result":"initialized"}', 'deleted'],
    ]);
  });

  it('refuses the repeat of a step that was refused, although there is room by then', async () => {
    await node.say(id, STANDALONE, 'x'.repeat(1_000));
    const operations = [receive({ to: 'nobody' }, 'lost'), append(STANDALONE, 'kept')];
    const results = await near.run(id, ...operations);
    expect(results.map(({ status }) => status)).toEqual(['full', 'appended']);
    await archiver.acknowledge((await archiver.entries()).at(-1));
    const again = await near.repeat(id, ...operations);
    expect(again.status === 'ok' && again.results.map(({ status }) => status)).toEqual([
      ...['full', 'repeated'],
    ]);
    const [result] = await near.run(id, operations[0] as (typeof operations)[0]);
    expect(result?.status).toBe('received');
  });

  it('acknowledges once, and answers with the checkpoint', async () => {
    await node.say(id, STANDALONE, 'first');
    const remote = archiverOf(near);
    await remote.claim();
    const [first] = await remote.entries();
    const sprung = proxy.cutBeforeReply((data) => data.includes('of the chain'));
    const reply = await remote.acknowledge(first, [[id, 'state of the chain']]);
    await sprung;
    expect(reply).toMatchObject({ ordinal: 2 });
    await node.say(id, STANDALONE, 'second');
    expect((await remote.entries()).map(brief)).toEqual(['second']);
  });
});
