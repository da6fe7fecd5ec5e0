/**
 * The worst case of every script: what the longest single command of a step costs Redis, whatever a client has done before.
 * `npx tsx bench/worst-steps.ts` prints the table of `docs/performance.md`; `test/contract/redis-worst-steps.test.ts` holds
 * the bound.
 */
import { randomUUID } from 'node:crypto';
import { pathToFileURL } from 'node:url';
import { Redis } from 'ioredis';
import { startRedis } from '../test/rig/redis.js';
import type { Membership, NewSession, Operation } from '../src/backplane/backplane.js';
import { ANY_PRINCIPAL, LOG_START, STANDALONE } from '../src/backplane/backplane.js';
import type { SdkStoreAccess } from '../src/backplane/sdk-store-access.js';
import { redisBackplane } from '../src/backplane/redis/redis-backplane.js';
import { systemClock } from '../src/protocol/clock.js';

const MB = 1_000_000;
/** The defaults of the options and limits that matter here. */
const MOST_EVENTS = 10_000;
const MOST_BYTES = 64 * 1024 * 1024;
const REQUESTS = 200;
const STREAMS = 256;
const SUBSCRIPTIONS = 1_000;
/** Of each, where a session has as many URIs as it may, and as many bytes of them. */
const URI_BYTES = 262;

const PRINCIPAL = 'as:alice';
const SESSION_TTL_MS = 3_600_000;

/** What a step cost: its longest command in µs, and how many there were, those within scripts included. */
export interface Cost {
  longestUs: number;
  commands: number;
}

export interface Scenario {
  script: string;
  situation: string;
  /** The step itself brings a message of 4 MB along. */
  carriesLarge?: true;
  /** Prepares what the step meets and returns the step, which can be run several times. */
  prepare: (world: World) => Promise<() => Promise<unknown>>;
}

/** Two nodes on one Redis. */
export class World {
  readonly a: Node;
  readonly b: Node;

  constructor(
    readonly redis: Redis,
    url: string,
    readonly prefix: string,
  ) {
    this.a = new Node(url, prefix, 'node-a');
    this.b = new Node(url, prefix, 'node-b');
  }

  key(id: string): string {
    return `${this.prefix}:{${id}}`;
  }

  async close(): Promise<void> {
    await Promise.all([this.a.membership.leave(), this.b.membership.leave()]);
  }
}

class Node {
  readonly membership: Membership;
  private number = 0;

  constructor(
    url: string,
    prefix: string,
    readonly id: string,
  ) {
    this.membership = redisBackplane({ redis: url, prefix }).join({
      ...{ nodeId: id, clock: systemClock, leaseMs: 10_000, commandTimeoutMs: 10_000 },
      ...{ sessionTtlMs: SESSION_TTL_MS, pendingTtlMs: 300_000 },
      retention: { maxEvents: MOST_EVENTS, maxAgeMs: 3_600_000, maxBytes: MOST_BYTES },
      onMessage: () => undefined,
      onLost: () => undefined,
      onLapse: () => undefined,
      logger: { warn: (text) => console.warn(text) },
    });
  }

  get sdkStores(): SdkStoreAccess {
    const { sdkStores } = this.membership;
    if (sdkStores === undefined) throw new Error('no stores of the SDK');
    return sdkStores;
  }

  async create(more: Partial<NewSession> = {}): Promise<string> {
    const id = randomUUID();
    await this.membership.create({
      ...{ id, initialize: '{"capabilities":{}}', protocolVersion: '2025-11-25' },
      ...{
        principal: PRINCIPAL,
        hears: ['tools', 'prompts', 'resources'],
        createdAt: Date.now(),
        inbound: '{}',
        stream: 'i',
      },
      outbound: [{ stream: 'i', message: '{}', asks: false }],
      ...more,
    });
    return id;
  }

  async commit(sessionId: string, ...operations: Operation[]) {
    this.number += 1;
    return this.membership.commit({ sessionId, number: this.number, operations });
  }

  /** Opens and ends a request on a stream of its own, and gives the position of its request and of its answer. */
  async call(sessionId: string, stream: string) {
    await this.commit(sessionId, open(stream, [`"${stream}"`]));
    const ended = await this.commit(sessionId, append(stream, 'answer', { ends: `"${stream}"` }));
    const [result] = ended.status === 'ok' ? ended.results : [];
    if (result?.status !== 'appended') throw new Error('not appended');
    return result.position;
  }

  /** So many messages of the client that open nothing. */
  async fill(sessionId: string, count: number, bytes: number): Promise<void> {
    const message = 'y'.repeat(bytes);
    for (let left = count; left > 0; left -= 100) {
      const operations = Array.from({ length: Math.min(left, 100) }, () => receive(message));
      await this.commit(sessionId, ...operations);
    }
  }
}

function open(stream: string, requests: string[], most = REQUESTS): Operation {
  return {
    ...{ type: 'open', principal: PRINCIPAL, stream, token: `t${stream}`, revision: '1' },
    ...{ requests, messages: requests.map(() => 'call'), most },
  };
}

function receive(message: string): Operation {
  const route = { to: 'nobody' } as const;
  return { type: 'receive', principal: PRINCIPAL, message, route, revision: '1' };
}

function append(stream: string, message: string, more: object = {}): Operation {
  return { type: 'append', stream, message, ...more };
}

/** As a client can make it that has taken what it may: requests, subscriptions, and what waits for it of each. */
async function crowded({ a }: World, uris = SUBSCRIPTIONS, length = 200): Promise<string> {
  const id = await a.create();
  for (let at = 0; at < REQUESTS; at += 1) await a.commit(id, open(`s${at}`, [`"r${at}"`]));
  for (let at = 0; at < uris; at += 1) {
    const uri = `file:///${at}/`.padEnd(length, 'x');
    await a.commit(
      id,
      append(STANDALONE, '{}', { effect: { type: 'subscribe', uri } }),
      append(STANDALONE, '{}', { onlyIf: { subscribed: uri }, coalesce: `updated ${uri}` }),
    );
  }
  return id;
}

const cursor = (n: number, logId: string) => ({ n, logId });

async function attachTo(
  world: World,
  id: string,
  stream: string,
  at?: { n: number; logId: string },
) {
  const token = randomUUID();
  return world.b.membership.attach({
    ...{ sessionId: id, principal: PRINCIPAL, stream, token, cursor: at, unlessHeld: false },
  });
}

/** A log in which the stream's first and last message have so many of others between them. */
async function between(
  world: World,
  stream: string,
  count: number,
  bytes: number,
): Promise<string> {
  const id = await world.a.create();
  if (stream !== STANDALONE) await world.a.commit(id, open(stream, [`"${stream}"`]));
  await world.a.fill(id, count, bytes);
  await world.a.commit(id, append(stream, 'last'));
  return id;
}

function taskOf(sessionId: string) {
  return {
    ...{ id: randomUUID(), sessionId, ttlMs: 600_000, createdAt: new Date().toISOString() },
    ...{ pollIntervalMs: 1_000, method: 'tools/call' },
  };
}

async function newTask({ a }: World): Promise<string> {
  const task = taskOf(randomUUID());
  await a.sdkStores.tasks.create(task, 10);
  return task.id;
}

export const SCENARIOS: readonly Scenario[] = [
  {
    ...{ script: 'attach', situation: 'an ended stream, 15 messages of 4 MB behind its end' },
    prepare: async (world) => {
      const id = await world.a.create();
      const { n, logId } = await world.a.call(id, 's');
      for (let at = 0; at < 15; at += 1) await world.a.fill(id, 1, 4 * MB);
      return () => attachTo(world, id, 's', cursor(n, logId));
    },
  },
  {
    ...{
      script: 'attach',
      situation: 'an ended stream, 9,900 messages of others behind the cursor',
    },
    prepare: async (world) => {
      const id = await world.a.create();
      await world.a.commit(id, open('s', ['"s"']));
      const first = await world.a.commit(id, append('s', 'one'));
      const [result] = first.status === 'ok' ? first.results : [];
      if (result?.status !== 'appended') throw new Error('not appended');
      await world.a.fill(id, 9_900, 6_000);
      await world.a.commit(id, append('s', 'two', { ends: '"s"' }));
      return () => attachTo(world, id, 's', cursor(1, result.position.logId));
    },
  },
  {
    ...{
      script: 'attach',
      situation: 'the standalone stream, 15 messages of 4 MB before its only one',
    },
    prepare: async (world) => {
      const id = await between(world, STANDALONE, 15, 4 * MB);
      return () => attachTo(world, id, STANDALONE);
    },
  },
  {
    ...{
      script: 'read',
      situation: 'the standalone stream, 15 messages of 4 MB before its only one',
    },
    prepare: async (world) => {
      const id = await between(world, STANDALONE, 15, 4 * MB);
      const after = cursor(0, LOG_START);
      return () =>
        world.b.membership.read({ sessionId: id, stream: STANDALONE, after, maxBytes: 262_144 });
    },
  },
  {
    ...{
      script: 'read',
      situation: 'the standalone stream, 9,900 messages of others before its only one',
    },
    prepare: async (world) => {
      const id = await between(world, STANDALONE, 9_900, 6_000);
      const after = cursor(0, LOG_START);
      return () =>
        world.b.membership.read({ sessionId: id, stream: STANDALONE, after, maxBytes: 262_144 });
    },
  },
  {
    ...{ script: 'read', situation: 'a page of a stream with 9,900 small messages' },
    prepare: async (world) => {
      const id = await world.a.create();
      for (let at = 0; at < 99; at += 1) {
        await world.a.commit(
          id,
          ...Array.from({ length: 100 }, () => append(STANDALONE, '{"x":"message"}')),
        );
      }
      const after = cursor(0, LOG_START);
      return () =>
        world.b.membership.read({ sessionId: id, stream: STANDALONE, after, maxBytes: 262_144 });
    },
  },
  {
    ...{
      script: 'commit-append',
      situation: 'a log that is full of small messages, and 4 MB more',
      carriesLarge: true,
    },
    prepare: async (world) => {
      const id = await world.a.create();
      await world.a.fill(id, 8_000, 10);
      for (let at = 0; at < 16; at += 1) await world.a.fill(id, 1, 4 * MB);
      await world.a.fill(id, 1, 1.6 * MB);
      return () => world.a.commit(id, append(STANDALONE, 'y'.repeat(4 * MB)));
    },
  },
  {
    ...{
      script: 'commit-open',
      situation: 'as many requests run as may, and as many subscriptions',
    },
    prepare: async (world) => {
      const id = await crowded(world);
      return () => world.a.commit(id, open('more', ['"more"']));
    },
  },
  {
    ...{
      script: 'commit',
      situation: 'claim, beside as many requests and subscriptions as may be',
    },
    prepare: async (world) => {
      const id = await crowded(world);
      let from = world.a.id;
      return async () => {
        const node = from === world.a.id ? world.b : world.a;
        await node.commit(id, { type: 'claim', stream: 's0', from, revision: String(1_001) });
        from = node.id;
      };
    },
  },
  {
    ...{
      script: 'commit-receive',
      situation: 'a node without a replica, 1,000 URIs, as long as they may be',
    },
    prepare: async (world) => {
      const id = await crowded(world, SUBSCRIPTIONS, URI_BYTES);
      const route = { to: 'here' } as const;
      const message = '{}';
      return () =>
        world.b.commit(id, {
          type: 'receive',
          principal: PRINCIPAL,
          message,
          route,
          revision: '1',
        });
    },
  },
  {
    ...{
      script: '(HGETALL)',
      situation: '`load` of a session with 1,000 URIs, as long as they may be',
    },
    prepare: async (world) => {
      const id = await crowded(world, SUBSCRIPTIONS, URI_BYTES);
      return () => world.b.membership.load(id);
    },
  },
  {
    ...{ script: 'history', situation: 'a log of 15 messages of 4 MB' },
    prepare: async (world) => {
      const id = await between(world, STANDALONE, 15, 4 * MB);
      return () => world.b.membership.history(id, LOG_START, 500);
    },
  },
  {
    ...{ script: 'history', situation: 'a log of 9,900 small messages' },
    prepare: async (world) => {
      const id = await between(world, STANDALONE, 9_900, 1_000);
      return () => world.b.membership.history(id, LOG_START, 500);
    },
  },
  {
    ...{ script: 'touch', situation: '256 streams and 200 requests' },
    prepare: async (world) => {
      const id = await crowded(world);
      const position = cursor(1, '1-1');
      const streams = Array.from({ length: STREAMS }, (_, at) => ({
        stream: `s${at}`,
        token: `ts${at}`,
        position,
      }));
      const runs = Array.from({ length: REQUESTS }, (_, at) => `s${at}`);
      return () => world.a.membership.touch([{ sessionId: id, streams, runs }]);
    },
  },
  {
    ...{ script: 'remove', situation: 'a session that is full of everything' },
    prepare: async (world) => {
      const ids: string[] = [];
      for (let at = 0; at < 3; at += 1) {
        const id = await crowded(world);
        await world.a.fill(id, 7_000, 6_000);
        ids.push(id);
      }
      return () => world.a.membership.remove(ids.pop() ?? '', ANY_PRINCIPAL);
    },
  },
  {
    ...{ script: 'create', situation: 'an `initialize` of 64 KiB, as large as it may be' },
    prepare: (world) => {
      const text = `{"capabilities":{},"x":"${'y'.repeat(65_000)}"}`;
      return Promise.resolve(() => world.a.create({ initialize: text, inbound: text }));
    },
  },
  {
    ...{ script: 'enter', situation: '10,000 sessions, as many as may be' },
    prepare: async (world) => {
      const most = { sessions: 10_000, pending: 20_000 };
      const first = await world.a.create({ most });
      const [index = ''] = await world.redis.keys(`${world.prefix}:principal:*`);
      const ids = Array.from({ length: 9_999 }, () => [0, first + randomUUID()]).flat();
      await world.redis.zadd(index, ...ids);
      // As a flood of clients does it that come at the same time: each finds the index full.
      return () => world.redis.call('ZRANDMEMBER', index, 1_000);
    },
  },
  {
    ...{ script: 'sdk-stores/heard', situation: '1,000 broadcasts of 8 kB' },
    prepare: async (world) => {
      const { sdkStores } = world.a;
      for (let at = 0; at < 1_000; at += 1) await sdkStores.broadcasts.publish('y'.repeat(8_000));
      return async () => {
        const stop = world.b.sdkStores.broadcasts.listen({
          onText: () => undefined,
          onGap: () => undefined,
        });
        await new Promise((resolve) => setTimeout(resolve, 300));
        stop();
      };
    },
  },
  {
    ...{
      script: 'sdk-stores/replay-read',
      situation: 'an event, 15 of 4 MB of other streams behind it',
    },
    prepare: async (world) => {
      const replays = world.a.sdkStores.replays;
      const id = randomUUID();
      const first = await replays.append(id, 's', 'first');
      for (let at = 0; at < 15; at += 1) await replays.append(id, 't', 'y'.repeat(4 * MB));
      await replays.append(id, 's', 'second');
      return async () => replays.read(id, 's', first, 262_144);
    },
  },
  {
    ...{
      script: 'sdk-stores/replay-append',
      situation: 'a log that is full of small events, and 4 MB more',
      carriesLarge: true,
    },
    prepare: async (world) => {
      const replays = world.a.sdkStores.replays;
      const id = randomUUID();
      for (let at = 0; at < 80; at += 1) {
        await Promise.all(
          Array.from({ length: 100 }, () => replays.append(id, 't', 'y'.repeat(10))),
        );
      }
      for (let at = 0; at < 16; at += 1) await replays.append(id, 't', 'y'.repeat(4 * MB));
      await replays.append(id, 't', 'y'.repeat(1.6 * MB));
      return async () => replays.append(id, 's', 'y'.repeat(4 * MB));
    },
  },
  {
    ...{ script: 'sdk-stores/task-enter', situation: '10,000 tasks of a session' },
    prepare: async (world) => {
      const tasks = world.a.sdkStores.tasks;
      const sessionId = randomUUID();
      const task = () => taskOf(sessionId);
      for (let at = 0; at < 100; at += 1) {
        await Promise.all(Array.from({ length: 100 }, () => tasks.create(task(), 10_000)));
      }
      return async () => tasks.create(task(), 10_000);
    },
  },
  {
    ...{ script: 'sdk-stores/task-pop', situation: '1,000 messages of 8 kB in a queue' },
    prepare: async (world) => {
      const tasks = world.a.sdkStores.tasks;
      const ids = Array.from({ length: 3 }, () => randomUUID());
      for (const id of ids) {
        for (let at = 0; at < 1_000; at += 1) await tasks.push(id, 'y'.repeat(8_000), 1_000);
      }
      return async () => tasks.popAll(ids.pop() ?? '', undefined);
    },
  },
  {
    ...{ script: 'sdk-stores/task-push', situation: 'a queue of 999 messages of 8 kB' },
    prepare: async (world) => {
      const tasks = world.a.sdkStores.tasks;
      const id = randomUUID();
      for (let at = 0; at < 999; at += 1) await tasks.push(id, 'y'.repeat(8_000), 1_000);
      return async () => tasks.push(id, 'y'.repeat(8_000), 1_000);
    },
  },
  {
    ...{ script: 'sdk-stores/task-change', situation: 'a task with a result of 4 MB' },
    carriesLarge: true,
    prepare: async (world) => {
      const tasks = world.a.sdkStores.tasks;
      const ids = await Promise.all([1, 2, 3].map(() => newTask(world)));
      const change = {
        ...{ sessionId: undefined, status: 'completed' as const, statusMessage: undefined },
        ...{ result: 'y'.repeat(4 * MB), at: new Date().toISOString() },
      };
      return async () => tasks.change({ ...change, id: ids.pop() ?? '' });
    },
  },
  {
    ...{ script: 'sdk-stores/task-wait', situation: 'a queue of 1,000 messages of 8 kB' },
    prepare: async (world) => {
      const tasks = world.a.sdkStores.tasks;
      const id = await newTask(world);
      for (let at = 0; at < 1_000; at += 1) await tasks.push(id, 'y'.repeat(8_000), 1_000);
      return async () => tasks.wait(id, 1);
    },
  },
  {
    ...{ script: 'sdk-stores/broadcast', situation: '1,000 broadcasts of 8 kB before it' },
    prepare: async (world) => {
      const { broadcasts } = world.a.sdkStores;
      for (let at = 0; at < 1_000; at += 1) await broadcasts.publish('y'.repeat(8_000));
      return async () => broadcasts.publish('y'.repeat(8_000));
    },
  },
  {
    ...{ script: 'state', situation: 'a state of 64 kB, in a session that is full of everything' },
    prepare: async (world) => {
      const id = await crowded(world);
      return async () => world.a.membership.storeState(id, 'y'.repeat(64_000), undefined);
    },
  },
  {
    ...{ script: 'send', situation: 'a message of 64 KiB to another node' },
    prepare: (world) => {
      const message = { type: 'deliver', sessionId: 's', message: 'y'.repeat(65_536) } as const;
      return Promise.resolve(async () => world.a.membership.send(world.b.id, message));
    },
  },
];

/** Runs a step so often and gives the run whose longest command was the shortest: a busy machine only adds. */
export async function measure(
  redis: Redis,
  step: () => Promise<unknown>,
  times = 3,
): Promise<Cost> {
  await redis.config('SET', 'slowlog-log-slower-than', 0);
  await redis.config('SET', 'slowlog-max-len', 100_000);
  let best: Cost | undefined;
  for (let at = 0; at < times; at += 1) {
    await redis.slowlog('RESET');
    await step();
    const log = (await redis.slowlog('GET', 100_000)) as [number, number, number, string[]][];
    const us = log
      .filter(([, , , [name = '']]) => !/^(?:slowlog|config|info|client)/i.test(name))
      .map(([, , time]) => time);
    const cost = {
      longestUs: Math.max(0, ...us),
      commands: us.length,
    };
    if (best === undefined || cost.longestUs < best.longestUs) best = cost;
  }
  await redis.config('SET', 'slowlog-log-slower-than', -1);
  await redis.slowlog('RESET');
  return best as Cost;
}

async function main(only: string): Promise<void> {
  const server = await startRedis();
  const redis = new Redis(server.url);
  console.log('| script | situation | longest, µs | commands |\n| --- | --- | --: | --: |');
  for (const [at, { script, situation, prepare }] of SCENARIOS.entries()) {
    if (!`${script} ${situation}`.includes(only)) continue;
    await redis.flushall();
    const world = new World(redis, server.url, `w${at}`);
    await Promise.all([world.a.membership.ready(), world.b.membership.ready()]);
    const step = await prepare(world);
    const { longestUs, commands } = await measure(redis, step);
    console.log(`| ${script} | ${situation} | ${longestUs} | ${commands} |`);
    await world.close();
  }
  redis.disconnect();
  await server.stop();
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href)
  await main(process.argv[2] ?? '');
