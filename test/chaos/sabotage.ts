/**
 * Takes a guard out of the library, in a process that has not loaded it yet: the twin of a chaos run shows that the
 * fault bites without it. The library has no switch for this.
 */
import { OrphanRecovery } from '../../src/execution/recovery/orphan-recovery.js';
import { replaceInScript } from '../mutants/lua.js';

/** What is taken out. `repeats`: a commit whose reply was lost is told by its number. `orphans`: dead executors are noticed. */
export type Sabotage = 'repeats' | 'orphans';

export function sabotage(what: Sabotage): void {
  if (what === 'orphans') {
    OrphanRecovery.prototype.watch = () => undefined;
    return;
  }
  replaceInScript('commit/step', { isRepeat: 'function() return false end' });
}
