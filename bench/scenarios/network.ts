import { tableOf, type Table } from '../report/table.js';
import { noteAll, type Bench, type Scenario } from '../run/bench.js';
import { TITLES } from '../server/contestants.js';
import { callInTurn, pings } from './calls.js';
import { plain, ratio } from './columns.js';

const ROUND_TRIPS_MS = [1, 5];

/** Measures one caller of a tool where Redis is some milliseconds away. A proxy delays the bytes, half of it each way. */
export const network: Scenario = {
  name: 'network',
  run: async (bench) => {
    const tables: Table[] = [];
    for (const roundTripMs of ROUND_TRIPS_MS) tables.push(await compare(bench, roundTripMs));
    return tables;
  },
};

async function compare(bench: Bench, roundTripMs: number): Promise<Table> {
  const forMs = bench.quick ? 50 : 1_200;
  const settings = { roundTripMs, prefix: `network-${roundTripMs}` };
  const measured = await callInTurn(
    bench,
    ['sdk-redis-store', 'redis', 'redis-read'],
    { concurrency: 1, forMs, settings },
    [await pings(bench, forMs, settings)],
  );
  noteAll(bench, `network.${roundTripMs}`, measured, ['p50', 'p99']);
  return tableOf(
    `tools/call, SSE, concurrency 1, ${roundTripMs} ms to Redis and back`,
    measured,
    [plain('p50 ms', 'p50', 2), plain('p99 ms', 'p99', 2), ratio('p50 ÷ PING', 'p50', 'ping')],
    { ...TITLES, ping: 'one PING of Redis' },
  );
}
