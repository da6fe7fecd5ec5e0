/** Checks that tests find the faults for which they exist. Each fault is planted, and its test has to fail. */
import { execFile } from 'node:child_process';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { expect, it } from 'vitest';
import { TESTED_MUTANTS } from './mutants.js';

const vitest = join(
  dirname(createRequire(import.meta.url).resolve('vitest/package.json')),
  'vitest.mjs',
);

// With `$name` vitest would shorten long names, and `-t` would not find them.
const byName = TESTED_MUTANTS.map((mutant) => [mutant.name, mutant] as const);

// Two run at a time, because some wait for an event that does not come.
it.concurrent.each(byName)('%s', { timeout: 180_000 }, async (name, { test, named }) => {
  const output = await new Promise<string>((resolve) => {
    const args = [vitest, 'run', test, '--bail=1', ...(named === '' ? [] : ['-t', named])];
    const env = { ...process.env, MUTANT: name, NO_COLOR: '1' };
    execFile(process.execPath, args, { env }, (_error, out, err) => resolve(`${out}\n${err}`));
  });
  // The test was run, and failed because an expectation did not hold.
  expect(output).toMatch(/\n\d+ passed, [1-9]\d* failed/);
  expect(output).toMatch(/AssertionError|Waited for/);
});
