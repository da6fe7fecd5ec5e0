/**
 * `tools/call` of an echo tool: mcp-anynode on memory and on Redis against the bare SDK transport in memory.
 *
 * All contestants run side by side, in turn, for several rounds; what counts is the ratio within a round, since the
 * machine's speed drifts. `npm run bench -- --quick` runs little and says little: it shows that it runs.
 */
import { startNode } from '../demo/rig/processes.js';
import type { NodeProcess } from '../demo/rig/processes.js';
import { startRedis } from '../demo/rig/redis.js';
import type { Contestant } from './contestants.js';
import { CONTESTANTS } from './contestants.js';
import type { Load } from './load.js';
import { run } from './load.js';

type Measured = Load & { cpu: number };

const quick = process.argv.includes('--quick');
const rounds = quick ? 1 : 5;
const sizes = [
  { concurrency: 1, calls: quick ? 50 : 1500 },
  { concurrency: 16, calls: quick ? 200 : 5000 },
];

const redis = await startRedis();
const nodes = new Map<Contestant, NodeProcess>();
try {
  for (const contestant of CONTESTANTS) {
    const env = { CONTESTANT: contestant, REDIS_URL: redis.url };
    nodes.set(
      contestant,
      await startNode({ script: new URL('node-process.ts', import.meta.url), env }),
    );
  }
  for (const { concurrency, calls } of sizes) await compare(concurrency, calls);
} finally {
  await Promise.all([...nodes.values()].map((node) => node.stop()));
  await redis.stop();
}

async function compare(concurrency: number, calls: number): Promise<void> {
  const results = new Map<Contestant, Measured[]>(CONTESTANTS.map((name) => [name, []]));
  for (let round = 0; round <= rounds; round += 1) {
    for (const [name, node] of nodes) {
      const measured = await measure(node, concurrency, calls);
      if (round > 0) results.get(name)?.push(measured); // the first one warms up
    }
  }
  const reference = results.get('sdk') ?? [];
  console.log(`\nconcurrency ${concurrency}, ${calls} calls, median of ${rounds} rounds`);
  console.log('              calls/s   p50 ms   p99 ms   CPU µs   rate ÷ sdk (min–max)');
  for (const [name, measured] of results) {
    const ratios = measured.map(({ rate }, round) => rate / (reference[round]?.rate ?? Number.NaN));
    console.log(
      [
        name.padEnd(12),
        median(measured.map(({ rate }) => rate))
          .toFixed(0)
          .padStart(8),
        median(measured.map(({ p50 }) => p50))
          .toFixed(2)
          .padStart(8),
        median(measured.map(({ p99 }) => p99))
          .toFixed(2)
          .padStart(8),
        median(measured.map(({ cpu }) => cpu))
          .toFixed(0)
          .padStart(8),
        `${median(ratios).toFixed(2)} (${Math.min(...ratios).toFixed(2)}–${Math.max(...ratios).toFixed(2)})`.padStart(
          20,
        ),
      ].join(' '),
    );
  }
}

async function measure(node: NodeProcess, concurrency: number, calls: number): Promise<Measured> {
  const before = await node.call<number>('cpu');
  const load = await run(`${node.url}/mcp`, concurrency, calls);
  const cpu = ((await node.call<number>('cpu')) - before) / calls;
  return { ...load, cpu };
}

function median(values: number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}
