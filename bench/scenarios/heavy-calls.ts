import { tableOf } from '../report/table.js';
import { noteAll, type Bench, type Scenario } from '../run/bench.js';
import { TITLES } from '../server/contestants.js';
import { callInTurn, type Calls } from './calls.js';
import { loadColumns, plain, ratio } from './columns.js';

const VARIANTS = ['sdk', 'sdk-redis-store', 'memory', 'redis', 'redis-read'] as const;

/** How many calls each session makes at once, where there are many sessions. */
const AT_ONCE = 8;
const LARGE = 65_536;

/** Measures many sessions, each with several calls at once. Every call under way has a connection of its own. */
export const manyCalls: Scenario = {
  name: 'many-calls',
  run: (bench) => {
    const sessions = bench.quick ? 10 : 200;
    const forMs = bench.quick ? 50 : 2_000;
    const calls = { sessions, concurrency: AT_ONCE * sessions, forMs };
    return compare(
      bench,
      'many-calls',
      `${sessions} sessions with ${AT_ONCE} calls at once`,
      calls,
    );
  },
};

/** Measures a tool whose results are large. */
export const largeResults: Scenario = {
  name: 'large-results',
  run: (bench) => {
    const calls = { concurrency: 16, length: LARGE, forMs: bench.quick ? 50 : 1_200 };
    return compare(bench, 'large-results', 'results of 64 KiB, concurrency 16', calls);
  },
};

async function compare(bench: Bench, name: string, title: string, calls: Calls) {
  const measured = await callInTurn(bench, VARIANTS, calls);
  noteAll(bench, name, measured, ['rate', 'p50', 'p99', 'cpu', 'redisCpu']);
  return [
    tableOf(
      `tools/call, SSE, ${title}`,
      measured,
      [
        ...loadColumns('calls/s'),
        ratio('rate ÷ SDK', 'rate', 'sdk'),
        ratio('CPU ÷ SDK', 'cpu', 'sdk'),
        ratio('rate ÷ SDK+Redis', 'rate', 'sdk-redis-store'),
        plain('client busy %', 'client', 0, 100),
      ],
      TITLES,
    ),
  ];
}
