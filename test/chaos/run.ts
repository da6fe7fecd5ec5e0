/**
 * `npm run chaos -- [--minutes 10] [--nodes 3] [--clients 50] [--kill-every 10] [--cut-every 30] [--pause-every 25]
 * [--restart-every 45] [--lease 3000] [--affinity owner] [--trail directory|postgres [--outage-every 40]] [--seed N]`, or `npm run chaos -- --rolling 5 [--nodes 3] [--clients 20]`,
 * or `npm run chaos -- --failover sentinel|cluster [--runs 5] [--clients 20]`.
 *
 * Times are in seconds, except for the lease, and 0 means never. `--verbose` also prints what happened at which time, and
 * the slowest calls. The exit code is 1 if a message was lost or shown twice, or a call ran twice.
 */
import { parseArgs } from 'node:util';
import { runChaos } from './chaos.js';
import { runFailover, type FailoverKind } from './failover.js';
import { runRolling } from './rolling.js';
import type { TrailKind } from './kept-trail.js';
import { table, trailTable } from './table.js';
import { isTrailViolated } from './trail-verdict.js';
import { violated, type Verdict } from './verdict.js';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    nodes: { type: 'string', default: '3' },
    clients: { type: 'string' },
    'kill-every': { type: 'string', default: '10' },
    'cut-every': { type: 'string', default: '30' },
    'pause-every': { type: 'string', default: '25' },
    'restart-every': { type: 'string', default: '45' },
    lease: { type: 'string' },
    affinity: { type: 'string', default: 'any' },
    trail: { type: 'string' },
    'outage-every': { type: 'string', default: '40' },
    seed: { type: 'string' },
    rolling: { type: 'string' },
    failover: { type: 'string' },
    runs: { type: 'string', default: '5' },
    verbose: { type: 'boolean', default: false },
  },
});
/** Returns milliseconds, or `undefined` for 0, which means never. */
const seconds = (text: string): number | undefined => Number(text) * 1000 || undefined;
const affinity = values.affinity as 'any' | 'owner';
const seed = Number(values.seed ?? Date.now() % 1_000_000);

async function chaos(): Promise<Verdict> {
  const { verdict, trail, faults, lostReplies, log, outputs } = await runChaos({
    nodes: Number(values.nodes),
    affinity,
    clients: Number(values.clients ?? 50),
    leaseMs: Number(values.lease ?? 3000),
    retryMs: 300,
    drainMs: 5000,
    rate: 2,
    thinkMs: 1200,
    restless: true,
    settleMs: 45_000,
    seed,
    forMs: Number(values.minutes) * 60_000,
    killEveryMs: seconds(values['kill-every']),
    cutEveryMs: seconds(values['cut-every']),
    pauseEveryMs: seconds(values['pause-every']),
    restartEveryMs: seconds(values['restart-every']),
    trail: values.trail as TrailKind | undefined,
    outageEveryMs: seconds(values['outage-every']),
  });
  const brought = [...faults].map(([name, count]) => [name, `${count} times`] as const);
  console.log(
    table(verdict, [['', ''], ...brought, ['commits whose reply was lost', lostReplies]]),
  );
  if (trail !== undefined) {
    console.log(trailTable(trail));
    if (isTrailViolated(trail)) process.exitCode = 1;
  }
  if (violated(verdict) || values.verbose) {
    tell(['the slowest calls', ...verdict.slowest, '', 'what happened', ...log], outputs);
  }
  return verdict;
}

async function rolling(rounds: number): Promise<Verdict> {
  const outcome = await runRolling({
    nodes: Number(values.nodes),
    affinity,
    clients: Number(values.clients ?? 20),
    leaseMs: Number(values.lease ?? 10_000),
    // This is the default of the library.
    retryMs: 1000,
    drainMs: 10_000,
    rate: 10,
    thinkMs: 1200,
    restless: false,
    slowMs: 500,
    settleMs: 30_000,
    seed,
    rounds,
    betweenMs: 1000,
  });
  const { verdict, failed, restarts, ms, outputs } = outcome;
  console.log(
    table(verdict, [
      ['', ''],
      ['failed calls', failed],
      ['nodes replaced', `${restarts} in ${Math.round(ms / 1000)} s`],
      ['longest gap in a stream of 10 per second, ms', verdict.gaps.max],
    ]),
  );
  if (violated(verdict) || failed > 0) tell([], outputs);
  if (failed > 0) process.exitCode = 1;
  return verdict;
}

async function failover(kind: FailoverKind, runs: number): Promise<Verdict[]> {
  const verdicts: Verdict[] = [];
  for (let run = 1; run <= runs; run += 1) {
    const clients = Number(values.clients ?? 20);
    const { verdict, recoveredMs, outputs } = await runFailover({
      ...{ kind, affinity, clients, nodes: Number(values.nodes) },
      leaseMs: Number(values.lease ?? 10_000),
      retryMs: 300,
      drainMs: 5000,
      rate: 10,
      thinkMs: 300,
      restless: false,
      slowMs: 40,
      settleMs: 20_000,
      seed: seed + run,
      aroundMs: 5000,
    });
    const [first, last] = [recoveredMs.at(0), recoveredMs.at(-1)];
    const all = `${recoveredMs.length} of ${clients} clients`;
    console.log(`\nrun ${run}`);
    console.log(
      table(verdict, [
        ['', ''],
        ['clients that got results again', all],
        ['ms from the death of the master to the first of them', first ?? '-'],
        ['ms to the last of them', last ?? '-'],
      ]),
    );
    if (violated(verdict) || values.verbose) tell([], outputs);
    if (recoveredMs.length < clients) process.exitCode = 1;
    verdicts.push(verdict);
  }
  return verdicts;
}

function tell(log: string[], outputs: string[]): void {
  console.log(['', ...log, '', 'what the nodes wrote', ...outputs].join('\n'));
}

async function run(): Promise<Verdict[]> {
  const { rolling: rounds, failover: kind } = values;
  if (kind === 'sentinel' || kind === 'cluster') return failover(kind, Number(values.runs));
  if (kind !== undefined) throw new Error(`--failover is sentinel or cluster, not ${kind}`);
  return [rounds === undefined ? await chaos() : await rolling(Number(rounds))];
}

if ((await run()).some(violated)) process.exitCode = 1;
