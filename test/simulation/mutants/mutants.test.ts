import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { nodeArguments } from '../../rig/typescript.js';
import { MUTANTS } from './index.js';

const run = promisify(execFile);
const MAIN = fileURLToPath(new URL('../main.ts', import.meta.url));

describe('the simulator finds planted faults:', () => {
  it.each(MUTANTS)('$name', { timeout: 180_000 }, async ({ name, from = 1, seeds = 1000 }) => {
    // Each mutant needs its own process, because its replacements stay for the rest of the process.
    const args = ['--from', String(from), '--seeds', String(seeds), '--workers', '1', '--brief'];
    const { code, stdout } = await run(process.execPath, [
      ...nodeArguments(MAIN),
      ...['--mutant', name, ...args],
    ]).then(
      (ran) => ({ ...ran, code: 0 }),
      (error: unknown) => error as { code: number; stdout: string },
    );
    expect(stdout).toMatch(/seed \d+ failed/);
    expect(code).toBe(1);
    const [, seed, violation = ''] = /seed (\d+) failed\n *(.*)/.exec(stdout) ?? [];
    const took = Number(seed) - from + 1;
    console.log(`${name}: ${took} seeds from ${from} on (${violation.slice(0, 100)})`);
  });
});
