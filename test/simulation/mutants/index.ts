import { AUDIT_MUTANTS } from './audit.js';
import { EARLY_READ_MUTANTS } from './early-reads.js';
import { FAILURE_MUTANTS } from './failures.js';
import { LEGACY_MUTANTS } from './legacy.js';
import { LIMIT_MUTANTS } from './limits.js';
import type { Mutant } from './mutant.js';
import { REQUEST_MUTANTS } from './requests.js';
import { TASK_MUTANTS } from './tasks.js';
import { STREAM_MUTANTS } from './streams.js';

/** All planted faults. The simulator has to find each of them. */
export const MUTANTS: readonly Mutant[] = [
  ...STREAM_MUTANTS,
  ...REQUEST_MUTANTS,
  ...FAILURE_MUTANTS,
  ...LIMIT_MUTANTS,
  ...LEGACY_MUTANTS,
  ...TASK_MUTANTS,
  ...AUDIT_MUTANTS,
  ...EARLY_READ_MUTANTS,
];

/** Plants a fault in this process, for the rest of its life. */
export function plant(name: string): Mutant {
  const mutant = MUTANTS.find((each) => each.name === name);
  if (mutant === undefined) throw new Error(`There is no mutant "${name}"`);
  mutant.plant();
  return mutant;
}
