import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { MUTANTS, plant } from './mutants.js';

const run = promisify(execFile);
const MAIN = 'test/simulation/main.ts';

describe('the simulator finds planted faults:', () => {
  it.each(MUTANTS)('$name', { timeout: 60_000 }, async (mutant) => {
    const { directory, remove } = await plant(mutant);
    try {
      const { from, seeds } = mutant;
      const args = ['--from', String(from), '--seeds', String(seeds), '--workers', '1', '--brief'];
      const ran = await run(process.execPath, ['--import', 'tsx', MAIN, ...args], {
        cwd: directory,
      }).then(
        ({ stdout }) => ({ code: 0, stdout }),
        (error: unknown) => error as { code: number; stdout: string },
      );
      const { code, stdout } = ran;
      expect(stdout).toMatch(/seed \d+ failed/);
      expect(code).toBe(1);
      const [, seed, violation = ''] = /seed (\d+) failed\n *(.*)/.exec(stdout) ?? [];
      const took = Number(seed) - from + 1;
      console.log(`${mutant.name}: ${took} seeds from ${from} on (${violation.slice(0, 100)})`);
    } finally {
      await remove();
    }
  });
});
