/**
 * Runs all benchmarks: `npm run bench`. `docs/performance.md` says what the figures mean.
 *
 * All contestants run side by side, in turn, for several rounds. Ratios are taken within a round, because the speed of a
 * machine drifts. `--quick` only shows that the benchmarks run. `--only tools-call,resume` chooses scenarios, `--rounds N`
 * sets the number of rounds (default: 5), `--json FILE` writes the figures into a file, and `--write` puts them into
 * `docs/performance.md` and `docs/performance.svg`. Targets are only printed: a run that misses them does not fail.
 */
import { writeFile } from 'node:fs/promises';
import { Redis } from 'ioredis';
import { startRedis } from '../test/rig/redis.js';
import { parseOptions } from './options.js';
import { machine } from './report/machine.js';
import { writePage } from './report/page.js';
import type { Results } from './report/results.js';
import { asText, type Table } from './report/table.js';
import { targetTable } from './report/targets.js';
import type { Bench } from './run/bench.js';
import { Fleet } from './run/fleet.js';
import { LoadGenerator } from './run/load.js';
import type { Spread } from './run/spread.js';
import { SCENARIOS } from './scenarios/index.js';

const options = parseOptions(
  process.argv.slice(2),
  SCENARIOS.map(({ name }) => name),
);
const chosen = SCENARIOS.filter(
  ({ name }) => options.only.length === 0 || options.only.includes(name),
);

const server = await startRedis();
const redis = new Redis(server.url);
const fleet = new Fleet(server.url);
const about = await machine(redis);
const load = await LoadGenerator.start();
const figures = new Map<string, Spread>();
const tables: Table[] = [];
const { quick, rounds } = options;
const bench: Bench = {
  ...{ quick, rounds, warmUps: quick ? 0 : 1, fleet, load, redis },
  note: (figure, value) => void figures.set(figure, value),
};
try {
  for (const [name, value] of Object.entries(about)) console.log(`${name}: ${value}`);
  for (const { name, run } of chosen) {
    console.log(`\n== ${name} ==`);
    try {
      for (const table of await run(bench)) {
        tables.push(table);
        console.log(`\n${asText(table)}`);
      }
    } catch (error) {
      // The results of the other scenarios are still worth keeping.
      console.error(`\n${name} failed:`, error);
      process.exitCode = 1;
    }
  }
} finally {
  await Promise.all([load.stop(), fleet.stop()]);
  redis.disconnect();
  await server.stop();
}
const results: Results = {
  ...{ machine: about, rounds, tables, figures },
  targets: targetTable(figures),
};
console.log(`\n${asText(results.targets)}`);
if (options.json !== undefined) {
  const whole = { ...results, figures: Object.fromEntries(figures) };
  await writeFile(options.json, `${JSON.stringify(whole, undefined, 2)}\n`);
}
if (options.write && process.exitCode === undefined) await writePage(results);
