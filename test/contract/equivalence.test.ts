import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type {
  Backplane,
  JoinedBackplane,
  NodeMessage,
  SessionRecord,
} from '../../src/backplane/backplane.js';
import { MemoryBackplane } from '../../src/backplane/memory/memory-backplane.js';
import { redisBackplane } from '../../src/backplane/redis/redis-backplane.js';
import { redisUrl, uniquePrefix } from '../support/redis-fixture.js';
import { TOO_SLOW_MS } from './equivalence/operations.js';
import { replicasInMemory, replicasInRedis } from './equivalence/replicas.js';
import { emptyOutbox, LIMITS, outboxStep } from './equivalence/outbox-steps.js';
import { step } from './equivalence/steps.js';
import { SESSIONS, World } from './equivalence/world.js';
import { eventually, TestNode } from './suite/rig.js';

// The contract suite cannot test everything in which the two backplanes may differ. Here three nodes carry out the same
// random steps in memory and in Redis. Every reply and every message to a node must be the same. At times a session
// loses its last steps, as in a failover of Redis, so that nodes have seen what the backplane no longer knows.

const NODES = [0, 1, 2];
const RUNS = Number(process.env['CONTRACT_RUNS'] ?? 150);
const OPTIONS = { retention: { maxEvents: 9, maxAgeMs: 60_000 } };

/** The calls of the memory backplane in this run. */
const calls: [nodeId: string, method: string, args: unknown[]][] = [];

function recorded(backplane: Backplane): Backplane {
  return {
    join: (options) =>
      new Proxy(backplane.join(options), {
        get(joined, name: keyof JoinedBackplane) {
          const value: unknown = Reflect.get(joined, name);
          if (typeof value !== 'function') return value;
          return (...args: unknown[]): unknown => {
            calls.push([options.nodeId, name, args]);
            return Reflect.apply(value, joined, args);
          };
        },
      }),
  };
}

function steps(): string {
  return calls
    .map(([nodeId, method, args]) => `${nodeId} ${method} ${JSON.stringify(args)}`)
    .join('\n');
}

const shared = new MemoryBackplane();
const prefix = uniquePrefix();
const admin = new Redis(redisUrl());
const memory = new World(replicasInMemory(shared));
const redis = new World(replicasInRedis(admin, prefix));

beforeAll(async () => {
  for (const at of NODES) {
    const options = { ...OPTIONS, nodeId: `n${at}`, audit: LIMITS[at] };
    memory.nodes.push(new TestNode(recorded(shared), options));
    redis.nodes.push(new TestNode(redisBackplane({ redis: redisUrl(), prefix }), options));
  }
  await Promise.all(redis.nodes.map(({ backplane }) => backplane.ready()));
});

afterAll(async () => {
  await Promise.all([...memory.nodes, ...redis.nodes].map(({ backplane }) => backplane.leave()));
  admin.disconnect();
});

const anyStep = fc.oneof({ weight: 10, arbitrary: step }, { weight: 1, arbitrary: outboxStep });
const plan = fc.array(
  fc.record({ node: fc.nat(2), session: fc.nat(SESSIONS - 1), step: anyStep }),
  { minLength: 5, maxLength: 60 },
);

it(
  'memory and Redis give the same replies to the same random steps',
  async () => {
    await fc.assert(
      fc.asyncProperty(plan, async (taken) => {
        const run = `e-${randomBytes(6).toString('hex')}`;
        for (const world of [memory, redis]) world.begin(run);
        calls.length = 0;
        for (let session = 0; session < SESSIONS; session += 1) {
          for (const world of [memory, redis]) {
            await world.nodes[session]?.create({
              id: world.id(session),
              hears: ['tools'],
            });
          }
        }
        for (const [at, { node, session, step: take }] of taken.entries()) {
          const began = performance.now();
          const [inMemory, inRedis] = await Promise.all(
            [memory, redis].map(async (world) => {
              const member = world.nodes[node];
              return member && world.plain(await take(world, member, session), world.id(session));
            }),
          );
          // After a slow step, one backplane may have found a look too old and the other one not.
          fc.pre(performance.now() - began < TOO_SLOW_MS);
          expect(inRedis, `step ${at} of:\n${steps()}`).toEqual(inMemory);
        }
        for (const node of NODES) {
          const [inMemory, inRedis] = await Promise.all(
            [memory, redis].map(async (world) =>
              (await inboxOf(world, node, run)).map((message) =>
                world.plain(message, 'sessionId' in message ? message.sessionId : ''),
              ),
            ),
          );
          expect(inRedis, `inbox of node ${node} after:\n${steps()}`).toEqual(inMemory);
        }
        await checkRecords();
        await checkOutboxes();
      }),
      {
        numRuns: RUNS,
        endOnFailure: false,
        // A run that failed must leave nothing for the next one.
        plugins: [
          fc.afterEach(async () => {
            await emptyOutboxes();
          }),
        ],
      },
    );
  },
  120_000 + RUNS * 200,
);

/** Takes all messages of a node's inbox, up to one that is sent last. */
async function inboxOf(world: World, node: number, run: string): Promise<NodeMessage[]> {
  const member = world.nodes[node];
  if (member === undefined) return [];
  const isMark = (message: NodeMessage) => message.type === 'released' && message.ref === run;
  await world.nodes[0]?.backplane.send(member.id, {
    type: 'released',
    ref: run,
    position: undefined,
  });
  await eventually(() => {
    expect(member.inbox.some(isMark)).toBe(true);
  });
  // Messages of a run that failed may still be in the inbox.
  return member.inbox
    .splice(0)
    .filter((message) => 'sessionId' in message && message.sessionId.startsWith(run));
}

/** Compares the records of all sessions at the end of a run. */
async function checkRecords(): Promise<void> {
  const ends = await Promise.all(
    [memory, redis].map((world) =>
      Promise.all(
        Array.from({ length: SESSIONS }, async (_, session) => {
          const record: SessionRecord | undefined = await world.nodes[0]?.backplane.load(
            world.id(session),
          );
          return world.plain(record, world.id(session));
        }),
      ),
    ),
  );
  expect(ends[1], steps()).toEqual(ends[0]);
}

/** Compares what the outboxes have of the sessions at the end of a run, and empties them. */
async function checkOutboxes(): Promise<void> {
  const [inMemory, inRedis] = await emptyOutboxes();
  expect(inRedis, steps()).toEqual(inMemory);
}

function emptyOutboxes() {
  return Promise.all(
    [memory, redis].map(async (world) => {
      const [node] = world.nodes;
      return node && (await emptyOutbox(world, node));
    }),
  );
}
