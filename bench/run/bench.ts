import type { Redis } from 'ioredis';
import type { NodeProcess } from '../../test/rig/processes.js';
import type { Load } from '../client/crowd.js';
import type { Table } from '../report/table.js';
import type { Fleet } from './fleet.js';
import type { LoadGenerator } from './load.js';
import type { Rounds } from './rounds.js';
import type { Spread } from './spread.js';

/** The parts that a scenario uses. */
export interface Bench {
  /** True if the run only has to show that everything runs. */
  quick: boolean;
  rounds: number;
  warmUps: number;
  fleet: Fleet;
  load: LoadGenerator;
  redis: Redis;
  /** Stores a figure for targets and charts. */
  note: (figure: string, value: Spread) => void;
}

export interface Scenario {
  /** The name for `--only`. */
  name: string;
  run: (bench: Bench) => Promise<Table[]>;
}

/** Notes each contestant's figures, `<of>.<contestant>.<metric>`, and their ratios, `<of>.<one>/<other>.<metric>`. */
export function noteAll(
  { note }: Bench,
  of: string,
  rounds: Rounds,
  metrics: readonly string[],
): void {
  for (const metric of metrics) {
    for (const name of rounds.names) {
      note(`${of}.${name}.${metric}`, rounds.of(name, metric));
      for (const other of rounds.names) {
        if (other !== name)
          note(`${of}.${name}/${other}.${metric}`, rounds.ratio(name, other, metric));
      }
    }
  }
}

/** The metrics of most samples. */
export type LoadSample = Record<'rate' | 'p50' | 'p99' | 'cpu' | 'redisCpu' | 'client', number>;

/**
 * Puts load on some nodes, and reads the CPU times of their processes before and after. CPU times are in microseconds per
 * operation. `client` is the share of the time in which the load generator was busy.
 */
export async function underLoad(
  { redis }: Pick<Bench, 'redis'>,
  nodes: readonly NodeProcess[],
  run: () => Promise<Load>,
): Promise<LoadSample> {
  const [cpuBefore, redisBefore] = [await cpuOf(nodes), await redisCpu(redis)];
  const { count, seconds, p50, p99, clientCpu } = await run();
  return {
    ...{ rate: count / seconds, p50, p99 },
    cpu: ((await cpuOf(nodes)) - cpuBefore) / count,
    redisCpu: ((await redisCpu(redis)) - redisBefore) / count,
    client: clientCpu / 1e6 / seconds,
  };
}

export async function cpuOf(nodes: readonly NodeProcess[]): Promise<number> {
  const times = await Promise.all(nodes.map((node) => node.call<number>('cpu')));
  return times.reduce((sum, time) => sum + time, 0);
}

/** Returns the CPU time of the Redis server so far, in microseconds. */
export async function redisCpu(redis: Redis): Promise<number> {
  const info = await redis.info('cpu');
  const seconds = info.matchAll(/^used_cpu_(?:sys|user):([\d.]+)/gm);
  return Array.from(seconds, ([, value]) => Number(value) * 1e6).reduce((sum, us) => sum + us, 0);
}
