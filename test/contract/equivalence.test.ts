import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type {
  NodeMessage,
  Operation,
  Position,
  SessionRecord,
} from '../../src/backplane/backplane.js';
import { LOG_START, RELEASED, STANDALONE } from '../../src/backplane/backplane.js';
import { memoryBackplane } from '../../src/backplane/memory/memory.js';
import { redisBackplane } from '../../src/backplane/redis/redis.js';
import { redisUrl, uniquePrefix } from '../support/redis-fixture.js';
import { ALICE, eventually, MALLORY, newSession, TestNode } from './suite/rig.js';

// Two implementations of one contract drift apart where no test looks. Here chance looks: the same random steps of
// three nodes must have the same replies, and bring every node the same messages, in memory and in Redis.

const NODES = [0, 1, 2];
const SESSIONS = 2;
const OPTIONS = { retention: { maxEvents: 9, maxAgeMs: 60_000 } };

/** A position that was seen, moved by a few; or one from beyond the log. */
type Cursor = { seen: number; move: number } | { logId: string; n: number };
type Template = (world: World, session: number) => Operation;
type Step = (world: World, node: TestNode, session: number) => Promise<unknown>;

/** What one backplane has shown so far. Both worlds do the same, so the same indices mean the same in both. */
class World {
  readonly nodes: TestNode[] = [];
  /** Log ids differ; in which order they were first seen must not. */
  private readonly names = new Map<string, string>();
  private positions: Position[][] = [];
  private streams: string[][] = [];
  private last = new Map<string, Operation[]>();
  private ids: string[] = [];
  /** How often a session has begun anew: its log ids may be those of the one before. */
  private readonly lives = new Map<string, number>();
  /** The last revision, and version of the state, that was seen of each session. */
  readonly latest = new Map<string, string>();
  readonly versions = new Map<string, string>();
  private count = 0;

  begin(run: string): void {
    this.names.clear();
    this.lives.clear();
    this.last.clear();
    this.ids = [];
    this.positions = [];
    this.streams = [];
    this.count = 0;
    for (let at = 0; at < SESSIONS; at += 1) {
      this.ids.push(`${run}-${at}`);
      this.positions.push([]);
      this.streams.push([]);
    }
  }

  id(session: number): string {
    return this.ids[session] ?? '';
  }

  unique(): string {
    this.count += 1;
    return `u${this.count}`;
  }

  revision(session: number, revision: string | undefined): string | undefined {
    return revision === 'latest' ? this.latest.get(this.id(session)) : revision;
  }

  opened(session: number): string {
    const stream = this.unique();
    this.streams[session]?.push(stream);
    return stream;
  }

  /** The standalone stream, or one of the last that were opened. */
  stream(session: number, index: number): string {
    const streams = this.streams[session] ?? [];
    return index === 0 ? STANDALONE : (streams.at(-index) ?? 'never');
  }

  cursor(session: number, cursor: Cursor): Position {
    if ('logId' in cursor) return cursor;
    const positions = this.positions[session] ?? [];
    const seen = positions[cursor.seen % Math.max(positions.length, 1)];
    if (seen === undefined) return { n: 0, logId: LOG_START };
    return { n: Math.max(0, seen.n + cursor.move), logId: seen.logId };
  }

  remember(session: number, position: Position): void {
    this.positions[session]?.push(position);
  }

  forget(session: number): void {
    this.positions[session] = [];
    this.lives.set(this.id(session), this.livesOf(this.id(session)) + 1);
  }

  private livesOf(sessionId: string): number {
    return this.lives.get(sessionId) ?? 1;
  }

  operations(node: TestNode, session: number, templates: Template[] | 'again'): Operation[] {
    const key = `${node.id} ${session}`;
    const operations =
      templates === 'again'
        ? (this.last.get(key) ?? [])
        : templates.map((template) => template(this, session));
    this.last.set(key, operations);
    return operations;
  }

  /**
   * A reply or message without what two runs of the same steps may differ in. Two sessions may have the same log id by
   * chance, so ids are told apart by `sessionId`.
   */
  plain(value: unknown, sessionId: string): unknown {
    if (Array.isArray(value)) return value.map((item) => this.plain(item, sessionId));
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(
      Object.entries(value).map(([key, item]: [string, unknown]) => {
        if (key === 'createdAt' || key === 'lastSeenAt' || key === 'at') return [key, 0];
        if (key === 'subscriptions' || key === 'requests')
          return [key, [...(item as string[])].sort()];
        const isLogId = (key === 'logId' || key === 'scanned') && item !== LOG_START;
        return [
          key,
          isLogId ? this.nameOf(item as string, sessionId) : this.plain(item, sessionId),
        ];
      }),
    );
  }

  private nameOf(logId: string, sessionId: string): string {
    const key = `${sessionId} ${this.livesOf(sessionId)} ${logId}`;
    const name = this.names.get(key) ?? `log id ${this.names.size}`;
    this.names.set(key, name);
    return name;
  }
}

const memory = new World();
const redis = new World();

beforeAll(async () => {
  const prefix = uniquePrefix();
  const shared = memoryBackplane();
  for (const at of NODES) {
    const options = { ...OPTIONS, nodeId: `n${at}` };
    memory.nodes.push(new TestNode(shared, options));
    redis.nodes.push(new TestNode(redisBackplane({ redis: redisUrl(), prefix }), options));
  }
  await Promise.all(redis.nodes.map(({ membership }) => membership.ready()));
});

afterAll(async () => {
  await Promise.all([...memory.nodes, ...redis.nodes].map(({ membership }) => membership.leave()));
});

const principal = fc.constantFrom(ALICE, ALICE, ALICE, ALICE, MALLORY);
const token = fc.constantFrom('t1', 't2');
const request = fc.constantFrom('0', '1', '"1"');
const streamIndex = fc.constantFrom(0, 0, 1, 1, 2, 3);
const executor = fc.constantFrom('n0', 'n1', 'n2', RELEASED);
const revision = fc.constantFrom(undefined, '1', 'latest', 'latest', '2.n0:1.');
const uri = fc.constantFrom('file:///a', 'file:///b');
const cursor: fc.Arbitrary<Cursor> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ seen: fc.nat(30), move: fc.constantFrom(0, 0, 0, -1, 1) }) },
  fc.record({ n: fc.nat(4), logId: fc.constantFrom(LOG_START, '99999999999999-0') }),
);

const operation: fc.Arbitrary<Template> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc
      .record({
        principal,
        token,
        revision,
        requests: fc.uniqueArray(request, { minLength: 1, maxLength: 2 }),
        owned: fc.boolean(),
      })
      .map((parts): Template => (world, session) => ({
        type: 'open',
        ...parts,
        revision: world.revision(session, parts.revision),
        stream: world.opened(session),
        messages: parts.requests.map((id) => `call ${id}`),
      })),
  },
  {
    weight: 2,
    arbitrary: fc
      .record({
        principal,
        revision,
        route: fc.oneof(
          fc.constantFrom(
            { to: 'replicas' as const },
            { to: 'initialized' as const },
            { to: 'initialized' as const, owned: true },
            { to: 'here' as const },
            { to: 'owner' as const },
            { to: 'nobody' as const },
          ),
          fc.constantFrom('n0', 'n1', 'n2').map((nodeId) => ({ to: 'node' as const, nodeId })),
          request.map((id) => ({ to: 'executor' as const, request: id })),
        ),
      })
      .map((parts): Template => (world, session) => ({
        type: 'receive',
        ...parts,
        revision: world.revision(session, parts.revision),
        message: 'said',
      })),
  },
  {
    weight: 8,
    arbitrary: fc
      .record(
        {
          index: streamIndex,
          message: fc.constantFrom('text', 'other text', '', undefined),
          ends: request,
          asks: fc.boolean(),
          effect: fc.oneof(
            fc.record({ type: fc.constant('level' as const), value: fc.constant('debug') }),
            fc.record({ type: fc.constantFrom('subscribe', 'unsubscribe'), value: uri }),
          ),
          onlyIf: fc.oneof(
            fc.record({ hears: fc.constantFrom('T' as const, 'P' as const) }),
            fc.record({ subscribed: uri }),
            fc.constantFrom({ owned: true as const }, { unbegun: true as const }),
          ),
          coalesce: fc.constantFrom('tools', 'file:///a'),
        },
        { requiredKeys: ['index', 'message'] },
      )
      .map(({ index, ends, ...parts }): Template => (world, session) => ({
        type: 'append',
        stream: world.stream(session, index),
        ...parts,
        // The standalone stream ends with its session, never with a request.
        ...(ends !== undefined && index > 0 && { ends }),
      })),
  },
  fc.record({ index: streamIndex, token, cursor }).map((parts): Template => (world, session) => ({
    type: 'detach',
    stream: world.stream(session, parts.index),
    token: parts.token,
    position: world.cursor(session, parts.cursor),
  })),
  streamIndex.map((index): Template => (world, session) => ({
    type: 'hangup',
    stream: world.stream(session, index),
  })),
  fc
    .record({ index: streamIndex, requests: fc.uniqueArray(request, { maxLength: 2 }) })
    .map(({ index, requests }): Template => (world, session) => ({
      type: 'abandon',
      stream: world.stream(session, index),
      requests,
    })),
  fc
    .record({ index: streamIndex, from: executor, revision, owned: fc.boolean() })
    .map(({ index, ...parts }): Template => (world, session) => ({
      type: 'claim',
      stream: world.stream(session, index),
      ...parts,
      revision: world.revision(session, parts.revision),
    })),
  {
    weight: 2,
    arbitrary: fc
      .record({
        index: fc.option(streamIndex, { nil: undefined }),
        dead: fc.constantFrom(undefined, undefined, 'n0', 'n1'),
        revision,
      })
      .map(({ index, ...parts }): Template => (world, session) => ({
        type: 'assign',
        stream: index === undefined ? undefined : world.stream(session, index),
        ...parts,
        revision: world.revision(session, parts.revision),
      })),
  },
  streamIndex.map((index): Template => (world, session) => ({
    type: 'release',
    stream: world.stream(session, index),
  })),
  fc.constant<Template>(() => ({ type: 'forget' })),
);

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 1,
    arbitrary: fc
      .record({
        hears: fc.constantFrom('', 'T', 'TP'),
        owned: fc.boolean(),
        streams: fc.array(fc.constantFrom(STANDALONE, 'init'), { maxLength: 2 }),
        asks: fc.boolean(),
      })
      .map(({ hears, owned, streams, asks }): Step => async (world, { membership }, session) => {
        const own = world.unique();
        const name = (stream: string) => (stream === 'init' ? own : stream);
        const outbound = [...streams.map(name), own].map((stream, at) => ({
          stream,
          message: `born ${at}`,
          asks: asks && at < streams.length,
        }));
        const id = world.id(session);
        const created = await membership.create(
          newSession({ id, hears, owned, stream: own, outbound }),
        );
        if (created !== false) {
          world.forget(session);
          for (const position of created) world.remember(session, position);
        }
        return created;
      }),
  },
  {
    weight: 12,
    arbitrary: fc
      .oneof(
        { weight: 6, arbitrary: fc.array(operation, { minLength: 1, maxLength: 3 }) },
        fc.constant('again' as const),
      )
      .map((templates): Step => async (world, node, session) => {
        const operations = world.operations(node, session, templates);
        if (templates !== 'again') node.number += 1;
        const reply = await node.repeat(world.id(session), ...operations);
        if (reply.status === 'ok') {
          world.latest.set(world.id(session), reply.revision);
          for (const result of reply.results) {
            if ('position' in result) world.remember(session, result.position);
          }
        }
        return reply;
      }),
  },
  {
    weight: 4,
    arbitrary: fc
      .record({
        principal,
        token,
        index: streamIndex,
        cursor: fc.option(cursor, { nil: undefined }),
        unlessHeld: fc.boolean(),
        deadHolder: fc.constantFrom(undefined, 'n0:t1', 'n1:t2'),
      })
      .map(({ principal: who, index, cursor: at, deadHolder, ...parts }): Step => {
        return (world, node, session) =>
          node.attach(world.id(session), world.stream(session, at === undefined ? 0 : index), {
            principal: who,
            cursor: at === undefined ? undefined : world.cursor(session, at),
            ...parts,
            ...(deadHolder !== undefined && { deadHolder }),
          });
      }),
  },
  {
    weight: 3,
    arbitrary: fc
      .record({ index: streamIndex, cursor, maxBytes: fc.constantFrom(1, 8, 1_000) })
      .map(
        (parts): Step =>
          (world, { membership }, session) =>
            membership.read({
              sessionId: world.id(session),
              stream: world.stream(session, parts.index),
              after: world.cursor(session, parts.cursor),
              maxBytes: parts.maxBytes,
            }),
      ),
  },
  {
    weight: 2,
    arbitrary: fc
      .record({ index: streamIndex, token, cursor })
      .map((parts): Step => (world, { membership }, session) => {
        const position = world.cursor(session, parts.cursor);
        const stream = world.stream(session, parts.index);
        const one = { stream, token: parts.token, position };
        return membership.touch([
          { sessionId: world.id(session), streams: [one, { ...one, stream: STANDALONE }] },
          { sessionId: 'never', streams: [one] },
        ]);
      }),
  },
  fc.constantFrom(undefined, '', 'latest', 'latest', '1.n0:1').chain((expected) =>
    fc.constantFrom('1', '2').map(
      (value): Step =>
        (world, { membership }, session) =>
          membership.storeState(
            world.id(session),
            value,
            expected === 'latest' ? world.versions.get(world.id(session)) : expected,
          ),
    ),
  ),
  fc.constant<Step>(async (world, { membership }, session) => {
    const state = await membership.loadState(world.id(session));
    if (state !== undefined) world.versions.set(world.id(session), state.version);
    return state;
  }),
  fc.constant<Step>((world, { membership }, session) => membership.load(world.id(session))),
  fc.constant<Step>((world, { membership }, session) =>
    membership.history(world.id(session), LOG_START, 100),
  ),
  principal.map(
    (who): Step =>
      (world, { membership }, session) =>
        membership.remove(world.id(session), who),
  ),
);

const plan = fc.array(fc.record({ node: fc.nat(2), session: fc.nat(SESSIONS - 1), step }), {
  minLength: 5,
  maxLength: 60,
});

it('memory and Redis answer the same to the same steps', async () => {
  await fc.assert(
    fc.asyncProperty(plan, async (steps) => {
      const run = `e-${randomBytes(6).toString('hex')}`;
      for (const world of [memory, redis]) world.begin(run);
      for (let session = 0; session < SESSIONS; session += 1) {
        for (const world of [memory, redis]) {
          await world.nodes[session]?.create({
            id: world.id(session),
            hears: 'T',
          });
        }
      }
      for (const [at, { node, session, step: take }] of steps.entries()) {
        const [inMemory, inRedis] = await Promise.all(
          [memory, redis].map(async (world) => {
            const member = world.nodes[node];
            return member && world.plain(await take(world, member, session), world.id(session));
          }),
        );
        expect(inRedis, `step ${at}`).toEqual(inMemory);
      }
      for (const node of NODES) {
        const [inMemory, inRedis] = await Promise.all(
          [memory, redis].map(async (world) =>
            (await inboxOf(world, node, run)).map((message) =>
              world.plain(message, 'sessionId' in message ? message.sessionId : ''),
            ),
          ),
        );
        expect(inRedis, `inbox of node ${node}`).toEqual(inMemory);
      }
      await checkRecords();
    }),
    { numRuns: Number(process.env['CONTRACT_RUNS'] ?? 150), endOnFailure: false },
  );
}, 120_000);

/** All that came until a message that was sent last. */
async function inboxOf(world: World, node: number, run: string): Promise<NodeMessage[]> {
  const member = world.nodes[node];
  if (member === undefined) return [];
  const isMark = (message: NodeMessage) => message.type === 'released' && message.ref === run;
  await world.nodes[0]?.membership.send(member.id, {
    type: 'released',
    ref: run,
    position: undefined,
  });
  await eventually(() => {
    expect(member.inbox.some(isMark)).toBe(true);
  });
  // A run that failed leaves its messages behind.
  return member.inbox
    .splice(0)
    .filter((message) => 'sessionId' in message && message.sessionId.startsWith(run));
}

/** What is stored in the end is the same as well. */
async function checkRecords(): Promise<void> {
  const ends = await Promise.all(
    [memory, redis].map((world) =>
      Promise.all(
        Array.from({ length: SESSIONS }, async (_, session) => {
          const record: SessionRecord | undefined = await world.nodes[0]?.membership.load(
            world.id(session),
          );
          return world.plain(record, world.id(session));
        }),
      ),
    ),
  );
  expect(ends[1]).toEqual(ends[0]);
}
