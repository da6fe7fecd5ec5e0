import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { it } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));

it('docs/reference/options.md and handle.md match the doc comments of the types', () => {
  // If the pages differ, the command fails and says what to run.
  execFileSync(process.execPath, ['scripts/options-reference.mjs', '--check'], { cwd: root });
});
