import { violationsOf } from './checks/index.js';
import type { Plan, Setting } from './plan.js';
import { planOf } from './plan.js';
import { Random } from './random.js';
import { World } from './world.js';

export interface Outcome {
  seed: number;
  violations: string[];
  /** What happened, a line each. */
  trace: string[];
  steps: number;
  plan: Plan;
}

/** One run. The same seed (and plan, where one is given) does exactly the same. */
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
