/**
 * Measures what interception costs. An echo tool runs as `server`, as `handler` (transports of the SDK in a map) and as
 * `upstream` (the same handler in its own process), on the memory backplane. For comparison, `plain` is that handler with
 * nothing in front. They are measured in turn. Usage: `tsx bench/interception.ts [--quick]`.
 */
import { startNode } from '../test/rig/processes.js';
import type { NodeProcess } from '../test/rig/processes.js';
import { run } from './plain-load.js';

const quick = process.argv.includes('--quick');
const rounds = quick ? 1 : 5;
const script = new URL('interception-node.ts', import.meta.url);

const upstream = await startNode({ script, env: { WAY: 'plain' } });
const nodes: [string, NodeProcess[]][] = [['plain', [upstream]]];
try {
  for (const WAY of ['server', 'handler', 'upstream']) {
    const node = await startNode({ script, env: { WAY, UPSTREAM: `${upstream.url}/mcp` } });
    nodes.push([WAY, WAY === 'upstream' ? [node, upstream] : [node]]);
  }
  for (const [concurrency, calls] of quick
    ? [[4, 100]]
    : [
        [1, 1000],
        [16, 4000],
      ]) {
    await compare(concurrency ?? 1, calls ?? 1);
  }
} finally {
  for (const [, [node]] of nodes) await node?.stop();
}

async function compare(concurrency: number, calls: number): Promise<void> {
  const rows = new Map(
    nodes.map(([way]) => [way, [] as { rate: number; p50: number; cpu: number }[]]),
  );
  for (let round = 0; round <= rounds; round += 1) {
    for (const [way, processes] of nodes) {
      const before = await cpuOf(processes);
      const { rate, p50 } = await run(`${processes[0]?.url}/mcp`, concurrency, calls);
      const cpu = ((await cpuOf(processes)) - before) / calls;
      if (round > 0) rows.get(way)?.push({ rate, p50, cpu }); // the first round only warms up
    }
  }
  console.log(`\nconcurrency ${concurrency}, ${calls} calls, median of ${rounds} rounds`);
  console.log('            calls/s   p50 ms   CPU µs (all processes of it)');
  for (const [way, measured] of rows) {
    const [rate, p50, cpu] = (['rate', 'p50', 'cpu'] as const).map((what) =>
      median(measured.map((each) => each[what])),
    ) as [number, number, number];
    console.log(
      `${way.padEnd(10)} ${rate.toFixed(0).padStart(8)} ${p50.toFixed(2).padStart(8)} ${cpu.toFixed(0).padStart(8)}`,
    );
  }
}

async function cpuOf(processes: NodeProcess[]): Promise<number> {
  const all = await Promise.all(processes.map((each) => each.call<number>('cpu')));
  return all.reduce((sum, each) => sum + each, 0);
}

function median(values: number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}
