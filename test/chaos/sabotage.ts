/**
 * Removes a guard of the library, in a process that has not loaded the guard yet. The twin of a chaos run shows that the
 * faults do harm without it. The library has no option for this.
 */
import { ArchiveLoop } from '../../src/audit/archiver/archive-loop.js';
import { OrphanRecovery } from '../../src/execution/recovery/orphan-recovery.js';
import { replaceInScript } from '../mutants/lua.js';

/**
 * The guard to remove. `repeats`: the number of a commit, by which a repeat is recognized. `orphans`: the recovery from
 * dead executors. `archiver`: the second try after the sink has failed, so that the archiver acknowledges what was not stored.
 */
export type Sabotage = 'repeats' | 'orphans' | 'archiver';

export function sabotage(what: Sabotage): void {
  if (what === 'orphans') {
    OrphanRecovery.prototype.watch = () => undefined;
    return;
  }
  if (what === 'archiver') {
    ArchiveLoop.prototype['write'] = async function (records) {
      await this['options'].sink.write(records).catch(() => undefined);
      return 'done';
    };
    return;
  }
  replaceInScript('commit/step', { isRepeat: 'function() return false end' });
}
