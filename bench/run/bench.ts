import type { Redis } from 'ioredis';
import type { NodeProcess } from '../../test/rig/processes.js';
import type { Load } from '../client/crowd.js';
import type { Table } from '../report/table.js';
import type { Fleet } from './fleet.js';
import type { LoadGenerator } from './load.js';
import { redisUsage } from './redis-usage.js';
import type { Rounds } from './rounds.js';
import type { Spread } from './spread.js';

/** The parts that a scenario uses. */
export interface Bench {
  /** True if the run only has to show that everything runs. */
  quick: boolean;
  rounds: number;
  warmUps: number;
  /** How long the soak takes. */
  minutes: number;
  fleet: Fleet;
  load: LoadGenerator;
  redis: Redis;
  /** Stores a figure for targets and charts. */
  note: (figure: string, value: Spread) => void;
}

export interface Scenario {
  /** The name for `--only`. */
  name: string;
  /** Whether the scenario is left out unless `--only` names it. */
  onlyByName?: boolean;
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
export type LoadSample = Record<
  'rate' | 'p50' | 'p99' | 'cpu' | 'redisCpu' | 'scriptMicros' | 'client',
  number
>;

/**
 * Puts load on some nodes, and reads the CPU times of their processes before and after. CPU times are in microseconds per
 * operation. So is `scriptMicros`, the time for which Redis ran scripts, by its own clock. `client` is the share of the time
 * in which the load generator was busy.
 */
export async function underLoad(
  { redis }: Pick<Bench, 'redis'>,
  nodes: readonly NodeProcess[],
  run: () => Promise<Load>,
): Promise<LoadSample> {
  const [cpuBefore, before] = [await cpuOf(nodes), await redisUsage(redis)];
  const { count, seconds, p50, p99, clientCpu } = await run();
  const after = await redisUsage(redis);
  return {
    ...{ rate: count / seconds, p50, p99 },
    cpu: ((await cpuOf(nodes)) - cpuBefore) / count,
    redisCpu: (after.cpu - before.cpu) / count,
    scriptMicros: (after.scriptMicros - before.scriptMicros) / count,
    client: clientCpu / 1e6 / seconds,
  };
}

export async function cpuOf(nodes: readonly NodeProcess[]): Promise<number> {
  const times = await Promise.all(nodes.map((node) => node.call<number>('cpu')));
  return times.reduce((sum, time) => sum + time, 0);
}
