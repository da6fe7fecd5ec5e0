import type { NodeProcess } from '../../test/rig/processes.js';
import { COUNTS, countName, type Count } from '../report/counts.js';
import { show, type Table } from '../report/table.js';
import type { Bench, Scenario } from '../run/bench.js';
import { redisUsage } from '../run/redis-usage.js';
import { spread } from '../run/spread.js';
import type { EchoTool } from '../client/mcp.js';

const TOOLS: Record<string, EchoTool> = { others: 'echo', 'read-only': 'echo-read-only' };
const TITLES: Record<string, string> = {
  others: 'a tool that may change something',
  'read-only': 'a tool that is annotated as read-only',
};

/** How many calls are made between two readings. The heap has room for what they allocate, up to 600 kB for each call. */
const CALLS = 400;
const BATCHES = 3;
/** This many calls come first, so that the code is compiled. */
const WARM_UP = 2_000;
/** Long enough that the node renews no lease meanwhile. */
const LEASE_MS = 3_600_000;

/**
 * Counts what one call costs, with one caller, on a node on Redis that has nothing else to do. The figures hardly depend on the
 * machine, so they are checked (`bench/counts.json`).
 */
export const counts: Scenario = {
  name: 'counts',
  run: (bench) =>
    bench.fleet.with(
      [{ contestant: 'redis', prefix: 'counts', leaseMs: LEASE_MS, counted: true }],
      async ([node]) => {
        const rows: string[][] = [];
        for (const [name, tool] of Object.entries(TOOLS)) {
          const batches = await countBatches(bench, node, tool);
          const cells = (Object.keys(COUNTS) as Count[]).map((count) => {
            const values = spread(batches.map((batch) => batch[count]));
            // Only Linux counts writes.
            if (Number.isNaN(values.median)) return '';
            bench.note(countName(name, count, bench.fleet.node.version), values);
            const isExact = count !== 'allocated';
            return show(values, isExact ? 1 : 0, { withSpread: !isExact });
          });
          rows.push([TITLES[name] ?? name, ...cells]);
        }
        const columns = ['', ...Object.values(COUNTS)];
        const table: Table = {
          title: 'Counted for each call, on Redis, one caller',
          columns,
          rows,
        };
        return [table];
      },
    ),
};

type Batch = Record<Count, number>;

async function countBatches(bench: Bench, node: NodeProcess, tool: EchoTool): Promise<Batch[]> {
  const crowd = await bench.load.open(node.url, 1);
  const call = (times: number) => crowd.call({ urls: [node.url], concurrency: 1, tool, times });
  await call(WARM_UP);
  const batches: Batch[] = [];
  for (let at = 0; at < BATCHES; at += 1) batches.push(await countCalls(bench, node, call));
  await crowd.end();
  return batches;
}

async function countCalls(
  { redis }: Bench,
  node: NodeProcess,
  call: (times: number) => Promise<unknown>,
): Promise<Batch> {
  await node.call('memory'); // collects garbage
  // The bytes of the reading itself are counted as well, so they are measured first.
  const [first, before] = [await redisUsage(redis), await redisUsage(redis)];
  const began = await counters(node);
  await call(CALLS);
  const ended = await counters(node);
  const after = await redisUsage(redis);
  const each = (total: number): number => total / CALLS;
  const net = (key: 'bytesIn' | 'bytesOut'): number =>
    each(after[key] - before[key] - (before[key] - first[key]));
  return {
    scripts: each(after.scripts - before.scripts),
    commands: each(after.commands - before.commands),
    bytesToRedis: net('bytesIn'),
    bytesFromRedis: net('bytesOut'),
    writes: each(ended.writes - began.writes),
    allocated: each(ended.allocated - began.allocated),
  };
}

async function counters(node: NodeProcess): Promise<{ allocated: number; writes: number }> {
  const { allocated, writes = Number.NaN } = await node.call<{
    allocated: number;
    writes?: number;
  }>('counters');
  return { allocated, writes };
}
