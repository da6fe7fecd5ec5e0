/** The worst cases of the scripts that work on sessions. */
import { randomUUID } from 'node:crypto';
import { ANY_PRINCIPAL, LOG_START, STANDALONE } from '../../src/backplane/backplane.js';
import type { Scenario, World } from './world.js';
import { append, open, PRINCIPAL, REQUESTS } from './world.js';

const MB = 1_000_000;
/** The defaults of the limits that matter here. */
const STREAMS = 256;
const SUBSCRIPTIONS = 1_000;
/** The length of each URI in a session that reaches both limits: the number of its subscriptions and their bytes. */
const URI_BYTES = 262;

/**
 * Creates a session that has reached the limits: of running requests, and of subscriptions, each with a notification that
 * waits.
 */
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
  return world.b.backplane.attach({
    ...{ sessionId: id, principal: PRINCIPAL, stream, token, cursor: at, unlessHeld: false },
  });
}

/** Creates a log with `count` other messages between the first and the last message of the stream. */
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

export const SESSION_SCENARIOS: readonly Scenario[] = [
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
        world.b.backplane.read({ sessionId: id, stream: STANDALONE, after, maxBytes: 262_144 });
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
        world.b.backplane.read({ sessionId: id, stream: STANDALONE, after, maxBytes: 262_144 });
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
        world.b.backplane.read({ sessionId: id, stream: STANDALONE, after, maxBytes: 262_144 });
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
      return () => world.b.backplane.load(id);
    },
  },
  {
    ...{ script: 'history', situation: 'a log of 15 messages of 4 MB' },
    prepare: async (world) => {
      const id = await between(world, STANDALONE, 15, 4 * MB);
      return () => world.b.backplane.history(id, LOG_START, 500);
    },
  },
  {
    ...{ script: 'history', situation: 'a log of 9,900 small messages' },
    prepare: async (world) => {
      const id = await between(world, STANDALONE, 9_900, 1_000);
      return () => world.b.backplane.history(id, LOG_START, 500);
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
      return () => world.a.backplane.touch([{ sessionId: id, streams, runs }]);
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
      return () => world.a.backplane.remove(ids.pop() ?? '', ANY_PRINCIPAL);
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
      // Many clients come at the same time, and each finds the index full.
      return () => world.redis.call('ZRANDMEMBER', index, 1_000);
    },
  },
  {
    ...{ script: 'state', situation: 'a state of 64 kB, in a session that is full of everything' },
    prepare: async (world) => {
      const id = await crowded(world);
      return async () => world.a.backplane.storeState(id, 'y'.repeat(64_000), undefined);
    },
  },
  {
    ...{ script: 'send', situation: 'a message of 64 KiB to another node' },
    prepare: (world) => {
      const message = { type: 'deliver', sessionId: 's', message: 'y'.repeat(65_536) } as const;
      return Promise.resolve(async () => world.a.backplane.send(world.b.id, message));
    },
  },
];
