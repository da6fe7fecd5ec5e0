/**
 * Runs the simulator with many seeds, in several processes.
 *
 * @example
 *     npm run simulate -- --seeds 1000 [--from N] [--seed N] [--workers N] [--brief] [--mutant NAME] [--with FAULT,…]
 */
import type { ChildProcess } from 'node:child_process';
import { fork } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { plant } from './mutants/index.js';
import type { Fault } from './plan.js';
import { OFF } from './plan.js';
import { shrink } from './shrink.js';
import { simulate } from './simulate.js';

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '1000' },
    from: { type: 'string', default: '1' },
    /**
     * Runs only this seed, and prints its whole trace. If the run fails, the trace is that of the smallest run that fails.
     */
    seed: { type: 'string' },
    workers: { type: 'string', default: String(availableParallelism()) },
    /** Prints only which seed failed. */
    brief: { type: 'boolean', default: false },
    /** Plants this fault. */
    mutant: { type: 'string' },
    /** Turns on these faults, if they are turned off in `OFF` of `plan.ts`. */
    with: { type: 'string' },
  },
});

/** How many seeds a worker gets at a time. */
const CHUNK = 20;

/** The task of a worker. It runs these seeds, and answers with those that failed. */
interface Task {
  from: number;
  count: number;
}
interface Done {
  ran: number;
  steps: number;
  failed: { seed: number; violations: string[] }[];
}

process.on('unhandledRejection', (reason) => {
  console.error('Nobody handled a rejection:', reason);
  process.exit(1);
});

// A worker gets these options through its environment.
const mutant = values.mutant ?? process.env.SIMULATION_MUTANT;
const planted = mutant === undefined ? undefined : plant(mutant);
const given = planted?.setting === undefined ? {} : { setting: planted.setting };
const faults = values.with ?? process.env.SIMULATION_WITH;
for (const name of faults?.split(',') ?? []) OFF.delete(name as Fault);

if (process.env.SIMULATION_WORKER === '1') {
  process.on('message', (task: Task) => void work(task).then((done) => process.send?.(done)));
} else if (values.seed !== undefined) {
  process.exitCode = await show(Number(values.seed));
} else {
  process.exitCode = await runAll(Number(values.from), Number(values.seeds));
}

async function work({ from, count }: Task): Promise<Done> {
  const done: Done = { ran: 0, steps: 0, failed: [] };
  for (let seed = from; seed < from + count; seed += 1) {
    const { violations, steps } = await simulate(seed, given);
    done.ran += 1;
    done.steps += steps;
    if (violations.length === 0) continue;
    done.failed.push({ seed, violations });
    break;
  }
  return done;
}

async function runAll(from: number, seeds: number): Promise<number> {
  const began = Date.now();
  const failed: Done['failed'] = [];
  let next = from;
  let ran = 0;
  let steps = 0;
  let said = 0;
  const count = Math.min(Number(values.workers), Math.ceil(seeds / CHUNK));
  await Promise.all(
    Array.from({ length: count }, async () => {
      const worker = count === 1 ? undefined : startWorker();
      while (next < from + seeds && failed.length === 0) {
        const task = { from: next, count: Math.min(CHUNK, from + seeds - next) };
        next += task.count;
        const done = await (worker === undefined ? work(task) : worker.run(task));
        ran += done.ran;
        steps += done.steps;
        failed.push(...done.failed);
        if (ran - said >= 1000) {
          said = ran;
          console.log(`${ran} seeds in ${seconds(began)} s`);
        }
      }
      worker?.stop();
    }),
  );
  const [first] = failed.sort((one, other) => one.seed - other.seed);
  console.log(
    `${ran} seeds from ${from} on, ${steps} steps, ${seconds(began)} s: ${first === undefined ? 'no violation' : `seed ${first.seed} failed`}`,
  );
  if (first === undefined) return 0;
  for (const violation of first.violations) console.log(`  ${violation}`);
  if (!values.brief) await show(first.seed);
  return 1;
}

function startWorker(): { run(task: Task): Promise<Done>; stop(): void } {
  const child: ChildProcess = fork(fileURLToPath(import.meta.url), [], {
    env: {
      ...process.env,
      SIMULATION_WORKER: '1',
      ...(mutant !== undefined && { SIMULATION_MUTANT: mutant }),
      ...(faults !== undefined && { SIMULATION_WITH: faults }),
    },
  });
  return {
    run: (task) =>
      new Promise((resolve, reject) => {
        child.once('message', (done) => {
          child.removeAllListeners('exit');
          resolve(done as Done);
        });
        child.once('exit', (code) => reject(new Error(`A worker ended with ${String(code)}`)));
        child.send(task);
      }),
    stop: () => child.disconnect(),
  };
}

/** Prints the trace of one seed. If the run fails, it is first reduced to as few actions as possible. */
async function show(seed: number): Promise<number> {
  const outcome = await simulate(seed, given);
  if (outcome.violations.length === 0) {
    console.log(outcome.trace.join('\n'));
    console.log(`Seed ${seed}: no violation in ${outcome.steps} steps`);
    return 0;
  }
  const smallest = await shrink(outcome);
  console.log(`\nSeed ${seed} with ${smallest.plan.actions.length} actions:`);
  console.log(JSON.stringify(smallest.plan.setting));
  for (const action of smallest.plan.actions) console.log(JSON.stringify(action));
  console.log('');
  const end = smallest.trace.findIndex((line) => line.includes('everybody leaves'));
  console.log(smallest.trace.slice(0, end < 0 ? undefined : end).join('\n'));
  console.log('');
  for (const violation of smallest.violations) console.log(violation);
  return 1;
}

function seconds(began: number): string {
  return ((Date.now() - began) / 1000).toFixed(1);
}
