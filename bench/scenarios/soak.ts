import { setTimeout as sleep } from 'node:timers/promises';
import type { NodeProcess } from '../../test/rig/processes.js';
import { show, type Table } from '../report/table.js';
import type { Bench, Scenario } from '../run/bench.js';
import { redisMemory } from '../run/redis-usage.js';
import { spread } from '../run/spread.js';
import type { NodeSettings } from '../server/contestants.js';

const PREFIX = 'soak';

/** How many sessions are open at a time. It is prime, so that each session is called on all nodes. */
const SESSIONS = 97;
const CONCURRENCY = 16;
/** How often each session is called before its GET stream is opened, and again afterwards. */
const TIMES = 10;
/** How often sessions are opened at most until the list of all sessions is short. */
const TIDYING = 100;

/**
 * Opens sessions on three nodes, uses them on all of them, and leaves them again, for some minutes. Clients delete half of the
 * sessions, and forget the others, which expire. Afterwards no session is left, and the heap of each node and the memory of
 * Redis have to be about as large as before.
 */
export const soak: Scenario = {
  name: 'soak',
  onlyByName: true,
  run: (bench) => {
    const times = bench.quick
      ? { sessionTtlMs: 2_000, replicaIdleMs: 500 }
      : { sessionTtlMs: 30_000, replicaIdleMs: 5_000 };
    const settings: NodeSettings = { contestant: 'redis', prefix: PREFIX, ...times };
    return bench.fleet.with([settings, settings, settings], async (nodes) => {
      // The code is compiled and the pools are filled before the first reading.
      for (let at = 0; at < 2 * nodes.length; at += 1) await useSessions(bench, nodes, at);
      await settle(bench, nodes, times.sessionTtlMs);
      const before = await memoryOf(bench, nodes);

      const [began, forMs] = [performance.now(), bench.minutes * 60_000];
      let calls = 0;
      let rounds = 0;
      for (; performance.now() - began < forMs; rounds += 1) {
        calls += await useSessions(bench, nodes, rounds);
      }
      await settle(bench, nodes, times.sessionTtlMs);
      const after = await memoryOf(bench, nodes);

      bench.note('soak.node', growth(before.nodes, after.nodes));
      bench.note('soak.redis', growth(before.redis, after.redis));
      const row = (name: string, key: keyof Memory) => [
        name,
        show(spread(before[key]), 0, { withSpread: true }),
        show(spread(after[key]), 0, { withSpread: true }),
        show(growth(before[key], after[key]), 3, { withSpread: true }),
      ];
      const table: Table = {
        title: `Soak: ${nodes.length} nodes on Redis, ${bench.minutes} minutes`,
        columns: ['', 'bytes before', 'bytes after', 'after ÷ before'],
        rows: [row('heap and buffers of a node', 'nodes'), row('memory of Redis', 'redis')],
        note: `${calls.toLocaleString('en')} calls in ${(rounds * SESSIONS).toLocaleString('en')} sessions.`,
      };
      return [table];
    });
  },
};

interface Memory {
  nodes: number[];
  redis: number[];
}

function growth(before: readonly number[], after: readonly number[]) {
  return spread(after.map((bytes, at) => bytes / (before[at] ?? Number.NaN)));
}

/** Opens sessions on one node, uses them on all nodes, and deletes or forgets them. Returns how many calls were made. */
async function useSessions(bench: Bench, nodes: readonly NodeProcess[], at: number) {
  const urls = nodes.map(({ url }) => url);
  const home = nodes[at % nodes.length] as NodeProcess;
  const crowd = await bench.load.open(home.url, SESSIONS);
  const options = { urls, concurrency: CONCURRENCY, times: TIMES };
  const { count } = await crowd.call(options);
  const listeners = await crowd.listen(urls);
  const since = await home.call<number>('announce');
  await listeners.heard(SESSIONS, since);
  const { count: more } = await crowd.call({ ...options, tool: 'echo-read-only' });
  await listeners.close();
  await (at % 2 === 0 ? crowd.end() : crowd.forget());
  return count + more;
}

async function memoryOf({ redis }: Bench, nodes: readonly NodeProcess[]): Promise<Memory> {
  const ofNodes = await Promise.all(nodes.map((node) => node.call<number>('memory')));
  // Where the machine is busy, it fills up with the arguments of scripts.
  await redis.slowlog('RESET');
  return { nodes: ofNodes, redis: [await redisMemory(redis)] };
}

/**
 * Waits until no session is left in Redis, and no server object on a node. Both times have a limit, and what remains then is
 * measured.
 */
async function settle(bench: Bench, nodes: readonly NodeProcess[], ttlMs: number): Promise<void> {
  const { load, redis } = bench;
  const began = performance.now();
  while (performance.now() - began < 2 * ttlMs + 10_000) {
    const replicas = await Promise.all(nodes.map((node) => node.call<number>('replicas')));
    const keys = await redis.keys(`${PREFIX}:{*`);
    if (keys.length === 0 && replicas.every((count) => count === 0)) break;
    await sleep(500);
  }
  // The list of all sessions loses expired ones only while sessions are opened, some for each.
  const [node] = nodes as [NodeProcess];
  for (let at = 0; at < TIDYING && (await redis.zcard(`${PREFIX}:sessions`)) > SESSIONS; at += 1) {
    await (await load.open(node.url, SESSIONS)).end();
  }
}
