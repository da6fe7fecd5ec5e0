/**
 * Removes a guard of the library, in a process that has not loaded the guard yet. The twin of a chaos run shows that the
 * faults do harm without it. The library has no option for this.
 */
import { OrphanRecovery } from '../../src/execution/recovery/orphan-recovery.js';
import { replaceInScript } from '../mutants/lua.js';

/**
 * The guard to remove. `repeats`: the number of a commit, by which a repeat is recognized. `orphans`: the recovery from
 * dead executors.
 */
export type Sabotage = 'repeats' | 'orphans';

export function sabotage(what: Sabotage): void {
  if (what === 'orphans') {
    OrphanRecovery.prototype.watch = () => undefined;
    return;
  }
  replaceInScript('commit/step', { isRepeat: 'function() return false end' });
}
