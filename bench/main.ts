/**
 * Runs all benchmarks: `npm run bench`. `docs/performance.md` says what the figures mean.
 *
 * All contestants run side by side, in turn, for several rounds. Ratios are taken within a round, because the speed of a
 * machine drifts. `--quick` only shows that the benchmarks run. `--only tools-call,resume` chooses scenarios, `--rounds N`
 * sets the number of rounds (default: 5), `--json FILE` writes the figures into a file, and `--write` puts them into
 * `docs/performance.md`, `docs/performance.svg` and `docs/performance-history.json`. Targets are only printed: a run that
 * misses them does not fail.
 *
 * `--node 24` or `--node PATH` says what runs the servers, and `--beside 20` measures `tools/call` on another version as well.
 * `--accept` puts the counted figures into `bench/counts.json`. The scenario `soak` runs only if `--only` names it, for as
 * many minutes as `--minutes` says (default: 10).
 */
import { writeFile } from 'node:fs/promises';
import { Redis } from 'ioredis';
import { startRedis } from '../test/rig/redis.js';
import { parseOptions } from './options.js';
import { acceptCounts, allowedCounts, grownCounts } from './report/counts.js';
import { addToHistory, readHistory, sinceLast } from './report/history.js';
import { machine } from './report/machine.js';
import { writePage } from './report/page.js';
import type { Results } from './report/results.js';
import { asText, type Table } from './report/table.js';
import { targetTable } from './report/targets.js';
import type { Bench } from './run/bench.js';
import { Fleet } from './run/fleet.js';
import { LoadGenerator } from './run/load.js';
import { findNode } from './run/node-binary.js';
import type { Spread } from './run/spread.js';
import { SCENARIOS } from './scenarios/index.js';

const options = parseOptions(
  process.argv.slice(2),
  SCENARIOS.map(({ name }) => name),
);
const chosen = SCENARIOS.filter(({ name, onlyByName = false }) =>
  options.only.length === 0 ? !onlyByName : options.only.includes(name),
);

const server = await startRedis();
const redis = new Redis(server.url);
const node = findNode(options.node ?? process.execPath);
const beside = options.beside === undefined ? undefined : findNode(options.beside);
const fleet = new Fleet({ redisUrl: server.url, node, beside });
const about = await machine(redis, node, beside);
const load = await LoadGenerator.start();
const figures = new Map<string, Spread>();
const tables: Table[] = [];
const { quick, rounds, minutes } = options;
const bench: Bench = {
  ...{ quick, rounds, minutes, warmUps: quick ? 0 : 1, fleet, load, redis },
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
const since = sinceLast(await readHistory(), node.version, figures);
if (since !== undefined) console.log(`\n${asText(since)}`);
for (const line of grownCounts(figures, await allowedCounts())) console.log(`\n${line}`);
if (options.json !== undefined) {
  const whole = { ...results, figures: Object.fromEntries(figures) };
  await writeFile(options.json, `${JSON.stringify(whole, undefined, 2)}\n`);
}
if (process.exitCode === undefined) {
  if (options.write) {
    // The history names the commit. Once the page is written, there are changes to it.
    await addToHistory(results);
    await writePage(results);
  }
  if (options.accept) await acceptCounts(figures);
}
