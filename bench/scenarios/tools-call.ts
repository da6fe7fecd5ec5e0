import { tableOf, type Table } from '../report/table.js';
import { noteAll, type Bench, type Scenario } from '../run/bench.js';
import {
  CONTESTANTS,
  MADE_FOR_EXPRESS,
  READ_ONLY,
  TITLES,
  WITHOUT_EXPRESS,
  type Variant,
} from '../server/contestants.js';
import { callInTurn, pings } from './calls.js';
import { loadColumns, plain, ratio } from './columns.js';

const CONCURRENCIES = [1, 16, 64];

/** The contestants in JSON mode. There the SDK stores nothing, with or without a store. */
const IN_JSON_MODE = ['sdk', 'memory', 'redis', ...WITHOUT_EXPRESS] as const;
const IN_SSE_MODE = [...CONTESTANTS, ...READ_ONLY, ...MADE_FOR_EXPRESS, ...WITHOUT_EXPRESS];
/** The contestants on the other version of Node. */
const BESIDE = ['sdk', 'memory', 'redis', ...READ_ONLY] as const;

/** Each variant on Redis, the one in memory with which it is compared, and how many round trips a call waits for. */
const EXCESS = [
  ['redis', 'memory', 2],
  ['redis-read', 'memory-read', 1],
  ['redis-made', 'memory-made', 2],
  ['redis-plain', 'memory-plain', 2],
] as const;

type Mode = 'sse' | 'json';

/** Measures `tools/call` of an echo tool, in sessions that the node knows. */
export const toolsCall: Scenario = {
  name: 'tools-call',
  run: async (bench) => {
    const tables: Table[] = [];
    for (const concurrency of CONCURRENCIES) {
      tables.push(await compare(bench, 'sse', IN_SSE_MODE, concurrency));
    }
    for (const concurrency of CONCURRENCIES) {
      tables.push(await compare(bench, 'json', IN_JSON_MODE, concurrency));
    }
    if (bench.fleet.beside !== undefined) {
      for (const concurrency of [1, 16]) {
        tables.push(await compare(bench, 'sse', BESIDE, concurrency, true));
      }
    }
    return tables;
  },
};

async function compare(
  bench: Bench,
  responseMode: Mode,
  variants: readonly Variant[],
  concurrency: number,
  beside = false,
): Promise<Table> {
  const forMs = bench.quick ? 50 : 1_200;
  // Nodes of both versions can share a cluster, but each is to have its own sessions.
  const settings = beside ? { beside, prefix: 'beside' } : {};
  const withPings = concurrency === 1 && responseMode === 'sse';
  const others = withPings ? [await pings(bench, forMs, settings)] : [];
  const calls = { responseMode, concurrency, forMs, settings };
  const measured = await callInTurn(bench, variants, calls, others);

  const name = `tools-call.${beside ? 'beside.' : ''}${responseMode}.c${concurrency}`;
  noteAll(bench, name, measured, ['rate', 'p50', 'p99', 'cpu', 'redisCpu', 'scriptMicros']);
  if (withPings) {
    for (const [redis, memory, roundTrips] of EXCESS) {
      if (!measured.names.includes(redis)) continue;
      const excess = measured.each(
        (value) => value(redis, 'p50') - value(memory, 'p50') - roundTrips * value('ping', 'p50'),
      );
      bench.note(`${name}.${redis}.excess`, excess);
    }
  }
  const on = beside ? `, on Node ${bench.fleet.beside?.version}` : '';
  return tableOf(
    `tools/call, ${responseMode.toUpperCase()}, concurrency ${concurrency}${on}`,
    measured,
    [
      ...loadColumns('calls/s'),
      plain('scripts µs', 'scriptMicros', 0),
      ratio('rate ÷ SDK', 'rate', 'sdk'),
      ratio('CPU ÷ SDK', 'cpu', 'sdk'),
      ...(measured.names.includes('sdk-redis-store')
        ? [ratio('rate ÷ SDK+Redis', 'rate', 'sdk-redis-store')]
        : []),
      plain('client busy %', 'client', 0, 100),
    ],
    { ...TITLES, ping: 'one PING of Redis' },
  );
}
