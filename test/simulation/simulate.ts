import { violationsOf } from './checks/index.js';
import type { Plan, Setting } from './plan.js';
import { planOf } from './plan.js';
import { Random } from './random.js';
import { World } from './world.js';

export interface Outcome {
  seed: number;
  violations: string[];
  /** What happened in the run, one line for each event. */
  trace: string[];
  steps: number;
  plan: Plan;
}

/** Makes one run. The same seed, with the same plan if one is given, does exactly the same. */
export async function simulate(
  seed: number,
  given: Plan | { setting?: Partial<Setting> } = {},
): Promise<Outcome> {
  const random = new Random(seed);
  const planned = planOf(random.fork(), given.setting);
  const plan = 'actions' in given ? given : planned;
  const world = new World(plan, random);
  const { ledger, scheduler } = world;
  try {
    await world.run();
    const violations = violationsOf(world);
    await world.end();
    violations.push(...ledger.seen);
    return { seed, plan, violations, trace: scheduler.trace, steps: scheduler.steps };
  } catch (error) {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    return {
      ...{ seed, plan, trace: scheduler.trace, steps: scheduler.steps },
      violations: [`something threw: ${text}`],
    };
  }
}
