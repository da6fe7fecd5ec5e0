/**
 * The two steps of a plain call have code of their own in their scripts, which leaves all other steps to the general code. Here
 * each step is carried out twice: in a session by the script of its kind, and in another one by commit.lua, which has the general
 * code alone. Both have to reply the same and to leave the same behind.
 */
import { Redis } from 'ioredis';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { LOG_START, STANDALONE, type Operation } from '../../src/backplane/backplane.js';
import { pushArguments } from '../../src/backplane/redis/commands/script-arguments.js';
import type { Argument } from '../../src/backplane/redis/commands/script.js';
import {
  commitScript,
  defineScripts,
  type Scripted,
} from '../../src/backplane/redis/commands/scripts.js';
import { SCRIPT_TEXTS } from '../../src/backplane/redis/commands/script-texts.js';
import { isMalformed } from '../../src/backplane/redis/malformed-session.js';
import { RedisKeys } from '../../src/backplane/redis/redis-keys.js';
import { commandCounts, commandsBetween } from '../support/commandstats.js';
import { ownRedis } from './support/own-redis.js';
import { MALLORY, append, exchange, open, receive, type TestNode } from './suite/rig.js';

const own = ownRedis();
const TTL_MS = 60_000;
const LARGE = 'x'.repeat(200_000);

/** The arguments of a commit that come before its operations. */
interface Head {
  node: string;
  number: number;
  maxBytes: number | '';
  sessionTtlMs: number;
  maxEvents: number;
  maxAgeMs: number;
  after: string;
}

let node: TestNode;
let client: Scripted<Redis>;
/** The sessions: one for each way. They have had a call, so that the next one can be plain. */
let special = '';
let general = '';
let revision = '';
let head: Head;
let subscriber: Redis;
/** What the steps have told other nodes. */
let told: string[] = [];

beforeEach(async () => {
  subscriber = new Redis(own.server.url);
  told = [];
  subscriber.on('pmessage', (_: string, channel: string, text: string) => {
    told.push(`${channel.slice(own.prefix.length)} ${text}`);
  });
  await subscriber.psubscribe(`${own.prefix}:to:*`);
  node = await own.join();
  client = defineScripts(new Redis(own.server.url));
  [special, general] = await Promise.all([begun(), begun()]);
  revision = `2.${node.id}:1.`;
  head = {
    ...{ node: node.id, number: 4, maxBytes: 1_000_000, sessionTtlMs: TTL_MS },
    ...{ maxEvents: 1_000, maxAgeMs: TTL_MS, after: LOG_START },
  };
});
afterEach(() => {
  client.disconnect();
  subscriber.disconnect();
});

/** Returns what the last step has told other nodes. */
async function heard(): Promise<string[]> {
  await own.admin.publish(`${own.prefix}:to:end`, '');
  await expect.poll(() => told.at(-1)).toBe(':to:end ');
  return told.splice(0).slice(0, -1);
}

async function begun(): Promise<string> {
  const id = await node.create();
  let number = 0;
  const steps: Operation[] = [
    receive({ to: 'initialized' }, '{}', { revision: undefined }),
    open(streamOf('first'), ['1']),
    append(streamOf('first'), 'answer', { ends: '1' }),
  ];
  for (const operation of steps) {
    number += 1;
    await node.backplane.commit({ sessionId: id, number, operations: [operation] });
  }
  return id;
}

/** A stream that this node opens begins with its id. */
const streamOf = (name: string) => `${node.id}${name}`;
const request = (more = {}) => open(streamOf('call'), ['2'], { revision, most: 3, ...more });
const exchanged = (more = {}) => exchange(streamOf('both'), '4', { revision, most: 3, ...more });
const answer = (more = {}) => append(streamOf('call'), 'answer', { ends: '2', ...more });

function keysOf(sessionId: string) {
  return new RedisKeys(own.prefix).ofSession(sessionId);
}

async function carryOut(sessionId: string, operation: Operation, isGeneral: boolean) {
  const { number, maxBytes, sessionTtlMs, maxEvents, maxAgeMs, after } = head;
  const args: Argument[] = [
    ...[...keysOf(sessionId), head.node, number, maxBytes, sessionTtlMs, TTL_MS, maxEvents],
    ...[maxAgeMs, `${own.prefix}:to:`, sessionId, after === LOG_START ? '' : after, ''],
  ];
  pushArguments(args, operation);
  const script = isGeneral ? 'anynode:commit' : commitScript([operation]);
  return client[script](args).catch((error: unknown) => {
    if (isMalformed(error)) return 'malformed';
    throw error;
  });
}

/** All that is stored of a session. Times and log ids become words, since those of the two sessions differ. */
async function stored(sessionId: string, step: Record<string, unknown>): Promise<string> {
  const [record, streams, events] = keysOf(sessionId);
  const isText = (await own.admin.type(events)) === 'string';
  const log = isText ? await own.admin.get(events) : await own.admin.xrange(events, '-', '+');
  const lives = await Promise.all(
    [record, streams, events].map(async (key) => Math.round((await own.admin.pttl(key)) / 10_000)),
  );
  const fields = Object.entries(await own.admin.hgetall(streams)).sort();
  const text = JSON.stringify({
    ...step,
    record: await own.admin.hgetall(record),
    fields,
    log,
    lives,
  });
  const ids = [...new Set(JSON.stringify(log).match(/\d{13}-\d+/g))];
  return text
    .replaceAll(sessionId, 'session')
    .replace(/\d{13}-\d+/g, (id) => `entry ${ids.indexOf(id)}`)
    .replace(/\d{13}/g, 'time');
}

/** Carries a step out in both ways, and returns what both have left behind. */
async function both(operation: Operation): Promise<string> {
  const [reply, expected] = [
    { reply: await carryOut(special, operation, false), told: await heard() },
    { reply: await carryOut(general, operation, true), told: await heard() },
  ];
  head.number += 1;
  const state = await stored(special, reply);
  expect(state).toBe(await stored(general, expected));
  return state;
}

/** Changes what is stored of both sessions. */
async function change(command: (keys: [string, string, string]) => Promise<unknown>) {
  for (const id of [special, general]) await command(keysOf(id));
}

/** Sets fields of the streams hash; `undefined` removes one. */
function setFields(fields: Record<string, string | undefined>) {
  return change(async ([, streams]) => {
    for (const [name, value] of Object.entries(fields)) {
      if (value === undefined) await own.admin.hdel(streams, name);
      else await own.admin.hset(streams, name, value);
    }
  });
}

it('a plain call takes eleven commands within its two scripts', async () => {
  await own.leaveAll();
  const before = await commandCounts(own.admin);
  for (const operation of [request(), answer()]) {
    const now = String(Date.now());
    await own.admin.hset(keysOf(special)[1], 'kept', now, 'trimmed', now);
    await carryOut(special, operation, false);
    head.number += 1;
  }
  const after = await commandCounts(own.admin);
  const { evalsha = 0, eval: whole = 0, hset = 0, ...within } = commandsBetween(before, after);
  expect(evalsha + whole).toBe(2);
  // Two are those of this test.
  expect(hset - 2).toBe(2);
  expect(within).toEqual({ hget: 1, hmget: 3, time: 2, xadd: 2, hdel: 1 });
});

it('plain calls, one after another and side by side, are stored as by the general code', async () => {
  await both(request());
  await both(open(streamOf('other'), ['3'], { revision }));
  await both(answer());
  await both(append(streamOf('other'), 'answer', { ends: '3' }));
  expect(await both(exchanged())).toContain(' exchanged ');
  const state = await both(request());
  expect(state).toContain(`"run","1"`);
  expect(await both(answer())).toContain('"run","0"');
});

it('a plain exchange takes six commands within its script', async () => {
  await own.leaveAll();
  const before = await commandCounts(own.admin);
  const now = String(Date.now());
  await own.admin.hset(keysOf(special)[1], 'kept', now, 'trimmed', now);
  await carryOut(special, exchanged(), false);
  const after = await commandCounts(own.admin);
  const { evalsha = 0, eval: whole = 0, hset = 0, ...within } = commandsBetween(before, after);
  expect(evalsha + whole).toBe(1);
  // One is that of this test.
  expect(hset - 1).toBe(1);
  expect(within).toEqual({ hmget: 2, time: 1, xadd: 2 });
});

describe('is left to the general code:', () => {
  it.each<[string, () => Operation, (() => unknown)?]>([
    ['of another principal', () => exchanged({ principal: MALLORY })],
    ['of a node with the first replica', () => exchanged({ revision: '1' })],
    ['of a node with an older replica', () => exchanged({ revision: `1.${node.id}:1.` })],
    ['with a trace', () => exchanged({ trace: '00-1-1-00' })],
    ['of a failure', () => exchanged({ failed: true })],
    ['beyond the limit', () => exchanged({ most: 0 })],
    ['at the limit', () => exchanged({ most: 1 })],
    [
      'at the limit of a session without a number',
      () => exchanged({ most: 1 }),
      () => setFields({ run: undefined }),
    ],
    ['of a request that runs', () => exchange(streamOf('both'), '2', { revision })],
    ['of a large message', () => exchanged({ message: LARGE }), () => (head.maxBytes = '')],
    ['of a large answer', () => exchanged({ answer: LARGE }), () => (head.maxBytes = '')],
    [
      'in a session without calls',
      exchanged,
      () => change(([record]) => own.admin.hdel(record, 'called')),
    ],
    ['of a node that is not in the list', exchanged, () => setFields({ reps: 'other' })],
  ])('an exchange %s', async (_, operation, prepare) => {
    await both(request());
    await prepare?.();
    await both(operation());
    await both(answer());
  });

  it.each<[string, () => Operation, (() => unknown)?]>([
    ['of another principal', () => request({ principal: MALLORY })],
    ['of a node without the replica', () => request({ revision: undefined })],
    ['of a node with the first replica', () => request({ revision: '1' })],
    ['of a node with an older replica', () => request({ revision: `1.${node.id}:1.` })],
    ['of a node that only wants the record', () => request({ revision: '0' })],
    ['for the owner', () => request({ owned: true })],
    ['of several requests', () => open(streamOf('call'), ['2', '3'], { messages: ['a', 'b'] })],
    ['with a trace', () => request({ trace: '00-1-1-00' })],
    ['beyond the limit', () => request({ most: 0 })],
    ['at the limit', () => request({ most: 1 })],
    ['of a request that runs', request, () => both(open(streamOf('other'), ['2'], { revision }))],
    ['of a large message', () => request({ messages: [LARGE] }), () => (head.maxBytes = '')],
    [
      'in a session without calls',
      request,
      () => change(([record]) => own.admin.hdel(record, 'called')),
    ],
    ['of a node that is not in the list', request, () => setFields({ reps: 'other' })],
    ['without a list of nodes', request, () => setFields({ reps: undefined })],
    [
      'of a node whose name begins with this one',
      request,
      () => setFields({ reps: `${node.id}x` }),
    ],
  ])('an open %s', async (_, operation, prepare) => {
    await prepare?.();
    await both(operation());
    await both(answer());
  });

  it.each<[string, () => Operation, (() => unknown)?]>([
    ['without a message', () => answer({ message: undefined })],
    ['that ends nothing', () => append(streamOf('call'), 'progress')],
    ['that ends another request', () => answer({ ends: '9' })],
    ['of a failure', () => answer({ failed: true })],
    ['with an effect', () => answer({ effect: { type: 'level', level: 'debug' } })],
    ['with a condition', () => answer({ onlyIf: { unbegun: true } })],
    ['with a key', () => answer({ coalesce: 'tools' })],
    ['of a question', () => answer({ asks: true })],
    ['of a large message', () => answer({ message: LARGE }), () => (head.maxBytes = '')],
    ['to the standalone stream', () => append(STANDALONE, 'news')],
    ['after progress', answer, () => both(append(streamOf('call'), 'progress'))],
    ['of another executor', answer, () => setFields({ [`x:${streamOf('call')}`]: 'other' })],
    ['of a stream to begin', answer, () => setFields({ [`x:${streamOf('call')}`]: `+${node.id}` })],
    ['of a released stream', answer, () => setFields({ [`x:${streamOf('call')}`]: '-' })],
    ['of an unknown stream', answer, () => setFields({ [`x:${streamOf('call')}`]: undefined })],
    ['of one of two requests', answer, () => setFields({ [`p:${streamOf('call')}`]: '2' })],
    [
      'that no connection waits for',
      answer,
      () => setFields({ [`h:${streamOf('call')}`]: undefined }),
    ],
    [
      'that another node waits for',
      answer,
      () => setFields({ [`h:${streamOf('call')}`]: 'other:t1' }),
    ],
    ['that had other holders', answer, () => setFields({ [`b:${streamOf('call')}`]: 'other:t1' })],
    [
      'of a stream that was moved',
      answer,
      () => setFields({ [`a:${streamOf('call')}`]: '1', [`d:${streamOf('call')}`]: '3' }),
    ],
  ])('an append %s', async (_, operation, prepare) => {
    await both(request());
    await prepare?.();
    await both(operation());
  });

  it('an append of a stream that another node has opened', async () => {
    await both(open('others', ['2'], { revision }));
    await both(append('others', 'answer', { ends: '2' }));
  });

  it.each<[string, () => unknown]>([
    ['of a session that is gone', () => change((keys) => own.admin.del(...keys))],
    ['of a node that is new', () => setFields({ [`t:${node.id}`]: undefined })],
    ['that is a repeat', () => (head.number -= 1)],
    ['of a session whose life is due', () => setFields({ kept: '1', trimmed: '1' })],
    ['of a session whose life is due, not its log', () => setFields({ kept: '1' })],
    ['of a log that is due', () => setFields({ trimmed: '1' })],
    ['of a session without these times', () => setFields({ kept: undefined, trimmed: undefined })],
    ['of a time that lies ahead', () => setFields({ kept: '9999999999999' })],
    ['of a log whose time lies ahead', () => setFields({ trimmed: '9999999999999' })],
    ['after an entry that was lost', () => (head.after = '9999999999000-7')],
    ['of a log that is at its bound in bytes', () => (head.maxBytes = 700)],
    [
      'of a log that exceeds its bound in bytes',
      async () => {
        head.maxBytes = 64_000;
        await setFields({ bytes: '64100' });
      },
    ],
    ['of a log that gets a line in its map', () => (head.maxBytes = 3_000)],
    ['of a log that was trimmed', () => setFields({ from: '500' })],
    ['of a log without a bound in bytes', () => (head.maxBytes = '')],
    ['of a log that keeps two entries', () => (head.maxEvents = 2)],
    ['of a log that has expired', () => change(([, , events]) => own.admin.del(events))],
    ['of a log without age', () => (head.maxAgeMs = 0)],
    [
      'of a session that lives briefly',
      async () => {
        head.sessionTtlMs = 8_000;
        const earlier = String(Date.now() - 400);
        await setFields({ kept: earlier, trimmed: earlier });
      },
    ],
    ['of a session without numbers', () => setFields({ bytes: undefined, run: undefined })],
    ['with malformed bytes', () => setFields({ bytes: '0x10' })],
    ['with malformed numbers of requests', () => setFields({ run: '1e3' })],
    ['with numbers that are too long', () => setFields({ run: '1'.repeat(20) })],
    ['with a malformed number of the commit', () => setFields({ [`t:${node.id}`]: 'x' })],
    ['with a malformed bound', () => setFields({ from: 'x' })],
    ['with a malformed revision', () => change(([record]) => own.admin.hset(record, 'rev', 'x'))],
    [
      'with a long revision',
      () => change(([record]) => own.admin.hset(record, 'rev', `2.${'x'.repeat(700)}`)),
    ],
  ])('a step %s', async (_, prepare) => {
    await change(async (keys) => {
      for (const key of keys) await own.admin.pexpire(key, TTL_MS / 3);
    });
    await both(request());
    await prepare();
    await both(answer());
    await both(exchanged());
    await both(request());
  });

  it.each([
    'x',
    '0',
    '1:x',
    `${'1'.repeat(16)}:1-1`,
    `1:${'1'.repeat(16)}-1`,
    `1:1-${'1'.repeat(20)}`,
  ])('an append after the malformed position %s', async (position) => {
    await both(request());
    await setFields({ [`n:${streamOf('call')}`]: position });
    expect(await both(answer())).toContain('malformed');
  });

  it('a step on a log that is still a text', async () => {
    for (const [at, id] of [await node.create(), await node.create()].entries()) {
      if (at === 0) special = id;
      else general = id;
      await node.backplane.commit({
        ...{ sessionId: id, number: 1 },
        operations: [receive({ to: 'initialized' }, '{}', { revision: undefined })],
      });
      await own.admin.hset(keysOf(id)[0], 'called', '1');
    }
    await setFields({ run: '0', kept: String(Date.now()), trimmed: String(Date.now()) });
    await both(request());
    await both(answer());
  });

  it('a step that declares fewer keys, while a cluster moves the slot', async () => {
    const [record, streams] = keysOf(special);
    const args: Argument[] = [
      ...[
        record,
        streams,
        node.id,
        4,
        '',
        TTL_MS,
        TTL_MS,
        1_000,
        TTL_MS,
        'inbox:',
        special,
        '',
        '',
      ],
    ];
    pushArguments(args, request());
    const reply = await own.admin.eval(SCRIPT_TEXTS['commit-open'] ?? '', 2, ...args);
    expect(reply).toMatch(/ opened 0 /);
  });
});
