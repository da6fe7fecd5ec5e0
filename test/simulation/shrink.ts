import type { Action } from './plan.js';
import type { Outcome } from './simulate.js';
import { simulate } from './simulate.js';

/** The largest number of runs for making a plan smaller. */
const TRIES = 300;

/** Leaves out actions, as long as the run still violates the same invariant. */
export async function shrink(outcome: Outcome, invariantOf = firstOf): Promise<Outcome> {
  const name = invariantOf(outcome);
  let best = outcome;
  let tries = 0;
  for (let size = Math.ceil(best.plan.actions.length / 2); size >= 1; size = Math.floor(size / 2)) {
    for (let from = 0; from < best.plan.actions.length && tries < TRIES;) {
      tries += 1;
      const actions = without(best.plan.actions, from, size);
      const tried = await simulate(outcome.seed, { ...best.plan, actions });
      if (invariantOf(tried) === name) best = tried;
      else from += size;
    }
  }
  return best;
}

function without(actions: Action[], from: number, count: number): Action[] {
  return [...actions.slice(0, from), ...actions.slice(from + count)];
}

function firstOf({ violations }: Outcome): string | undefined {
  return violations[0]?.split(':')[0];
}
