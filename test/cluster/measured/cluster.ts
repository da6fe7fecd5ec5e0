import { startNode } from '../../../demo/rig/processes.js';
import type { NodeProcess } from '../../../demo/rig/processes.js';
import type { AnynodeOptions } from '../../../src/index.js';
import { uniquePrefix } from '../../support/redis-fixture.js';

export interface MeasuredCluster {
  nodes: NodeProcess[];
  prefix: string;
  stop(): Promise<void>;
}

/** Node processes of `node.ts` on one Redis. */
export async function startCluster(
  redisUrl: string,
  count: number,
  options: Partial<AnynodeOptions> = {},
): Promise<MeasuredCluster> {
  const prefix = uniquePrefix();
  const env = { REDIS_URL: redisUrl, PREFIX: prefix, OPTIONS: JSON.stringify(options) };
  const script = new URL('node.ts', import.meta.url);
  const nodes = await Promise.all(Array.from({ length: count }, () => startNode({ script, env })));
  return {
    nodes,
    prefix,
    stop: async () => {
      await Promise.all(nodes.map((node) => node.stop({ graceMs: 0 })));
    },
  };
}

/** Numbers from 0 to 1 that a seed repeats exactly (a linear congruential generator: good enough to choose with). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}
