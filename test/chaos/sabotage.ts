/**
 * Takes a guard out of the library, in a process that has not loaded it yet: the twin of a chaos run shows that the
 * fault bites without it. The library has no switch for this.
 */
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { OrphanRecovery } from '../../src/execution/recovery/orphan-recovery.js';

/** What is taken out. `repeats`: a commit whose reply was lost is told by its number. `orphans`: dead executors are noticed. */
export type Sabotage = 'repeats' | 'orphans';

export function sabotage(what: Sabotage): void {
  if (what === 'orphans') {
    OrphanRecovery.prototype.watch = () => undefined;
    return;
  }
  patchScript(
    'commit/step.lua',
    /^local repeated = .*$/m,
    'local repeated = false -- taken out by the test',
  );
}

function patchScript(file: string, guard: RegExp, without: string): void {
  const read = fs.readFileSync;
  fs.readFileSync = ((...args: Parameters<typeof read>) => {
    const content = read(...args);
    if (typeof content !== 'string' || !String(args[0]).endsWith(file)) return content;
    if (!guard.test(content)) throw new Error(`${file} has no such guard`);
    return content.replace(guard, without);
  }) as typeof read;
  syncBuiltinESMExports();
}
