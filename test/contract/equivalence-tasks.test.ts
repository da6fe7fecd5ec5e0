/**
 * Carries out the same random steps with tasks in memory and in Redis, and compares the outcomes (see
 * `equivalence.test.ts`).
 */
import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { memoryBackplane } from '../../src/backplane/memory/memory-backplane.js';
import { redisBackplane } from '../../src/backplane/redis/redis-backplane.js';
import type { TaskChange, Tasks } from '../../src/backplane/sdk-store-access.js';
import { redisUrl, uniquePrefix } from '../support/redis-fixture.js';
import { look, TOO_SLOW_MS } from './equivalence/operations.js';
import { TestNode } from './suite/rig.js';

const RUNS = Number(process.env['CONTRACT_RUNS'] ?? 100);
const AT = '2026-01-01T00:00:00.000Z';

/** The tasks and results that one of the two backplanes has shown so far. */
class World {
  readonly nodes: TestNode[] = [];
  run = '';
  /** The positions of the listed tasks. They differ between the two backplanes. */
  orders: number[] = [];
  created = 0;

  begin(run: string): void {
    Object.assign(this, { run, orders: [], created: 0 });
  }

  id(index: number): string {
    return `${this.run}-${index}`;
  }

  session(index: number | undefined): string | undefined {
    return index === undefined ? undefined : `${this.run}-s${index}`;
  }
}

type Step = (world: World, tasks: Tasks) => Promise<unknown>;

const [memory, redis] = [new World(), new World()];

beforeAll(async () => {
  const [shared, prefix] = [memoryBackplane(), uniquePrefix()];
  for (const nodeId of ['n0', 'n1']) {
    memory.nodes.push(new TestNode(shared, { nodeId }));
    redis.nodes.push(new TestNode(redisBackplane({ redis: redisUrl(), prefix }), { nodeId }));
  }
  await Promise.all(redis.nodes.map(({ backplane }) => backplane.ready()));
});

afterAll(async () => {
  await Promise.all([...memory.nodes, ...redis.nodes].map(({ backplane }) => backplane.leave()));
});

const index = fc.nat(4);
const session = fc.constantFrom(0, 0, 1, undefined);
const status = fc.constantFrom<TaskChange['status'][]>(
  ...(['working', 'input_required', 'completed', 'failed', 'cancelled'] as const),
);

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 2,
    arbitrary: fc
      .record({ session, most: fc.constantFrom(1, 3) })
      .map(({ session: of, most }): Step => async (world, tasks) => {
        const task = { ttlMs: 60_000, createdAt: AT, pollIntervalMs: 500, method: 'tools/call' };
        const outcome = await tasks.create(
          { id: world.id(world.created), sessionId: world.session(of), ...task },
          most,
        );
        world.created += 1;
        return outcome;
      }),
  },
  {
    weight: 4,
    arbitrary: fc
      .record({
        index,
        session,
        status,
        statusMessage: fc.constantFrom(undefined, 'said'),
        result: fc.constantFrom(undefined, '{"done":true}'),
        onlyIf: fc.constantFrom(undefined, 'n0', 'n1'),
        look,
      })
      .map(({ index: at, session: of, onlyIf, look: looked, ...parts }): Step => {
        return (world, tasks) => {
          const base = { id: world.id(at), sessionId: world.session(of), at: AT, ...parts };
          return tasks.change({ ...base, ...(onlyIf !== undefined && { onlyIf, ...looked() }) });
        };
      }),
  },
  index.map(
    (at): Step =>
      (world, tasks) =>
        tasks.get(world.id(at)),
  ),
  index.map(
    (at): Step =>
      (world, tasks) =>
        tasks.result(world.id(at)),
  ),
  fc
    .record({ session, after: fc.nat(3), count: fc.constantFrom(1, 2, 10) })
    .map(({ session: of, after, count }): Step => async (world, tasks) => {
      const from = world.orders[after] ?? 0;
      const listed = await tasks.list(world.session(of), from, count);
      if (from === 0 && count === 10) world.orders = listed.map(({ order }) => order);
      return listed.map(({ record }) => record);
    }),
  fc.record({ index, most: fc.constantFrom(1, 3) }).map(
    ({ index: at, most }): Step =>
      (world, tasks) =>
        tasks.push(world.id(at), 'queued', most),
  ),
  fc
    .record({ index, messages: fc.array(fc.constantFrom('a', 'b'), { maxLength: 2 }) })
    .map(({ index: at, messages }): Step => {
      return (world, tasks) => tasks.putBack(world.id(at), messages);
    }),
  fc.record({ index, session }).map(({ index: at, session: of }): Step => {
    return (world, tasks) => tasks.pop(world.id(at), world.session(of));
  }),
  fc.record({ index, session }).map(({ index: at, session: of }): Step => {
    return (world, tasks) => tasks.popAll(world.id(at), world.session(of));
  }),
);

const plan = fc.array(fc.record({ node: fc.nat(1), step }), { minLength: 5, maxLength: 40 });

it(
  'memory and Redis give the same replies to the same random steps with tasks',
  async () => {
    await fc.assert(
      fc.asyncProperty(plan, async (steps) => {
        const run = `e-${randomBytes(6).toString('hex')}`;
        for (const world of [memory, redis]) world.begin(run);
        for (const [at, { node, step: take }] of steps.entries()) {
          const began = performance.now();
          const [inMemory, inRedis] = await Promise.all(
            [memory, redis].map(async (world) => {
              const tasks = world.nodes[node]?.backplane.sdkStores?.tasks;
              return tasks && take(world, tasks);
            }),
          );
          // After a slow step, one backplane may have found a look too old and the other one not.
          fc.pre(performance.now() - began < TOO_SLOW_MS);
          expect(inRedis, `step ${at}: ${String(take)}`).toEqual(inMemory);
        }
      }),
      { numRuns: RUNS, endOnFailure: false },
    );
  },
  120_000 + RUNS * 200,
);
