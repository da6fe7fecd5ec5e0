import { writeSync } from 'node:fs';
import type { SerializedError } from 'vitest';
import type { Reporter, TestModule, TestSuite, Vitest } from 'vitest/node';

export interface Tally {
  passed: number;
  failed: number;
  skipped: number;
}

/**
 * Counts the tests of a run. Everything that prevents tests from running counts as a failed test: a file that does not
 * load, a suite whose hook throws, an error outside of any test. So `failed` is 0 exactly when the run is green.
 */
export function count(
  modules: readonly TestModule[],
  unhandledErrors: readonly SerializedError[] = [],
): Tally {
  const tally = { passed: 0, failed: unhandledErrors.length, skipped: 0 };
  for (const module of modules) {
    tally.failed += brokenSuites(module);
    for (const test of module.children.allTests()) {
      const { state } = test.result();
      // A test is 'pending' if the run was aborted before it had a result.
      tally[state === 'pending' ? 'failed' : state]++;
    }
  }
  return tally;
}

export function format({ passed, failed, skipped }: Tally): string {
  return `${passed} passed, ${failed} failed` + (skipped > 0 ? `, ${skipped} skipped` : '');
}

/** Prints the tally as the last line of the run: `12 passed, 0 failed`. */
export default class TallyReporter implements Reporter {
  #watching = false;

  onInit(vitest: Vitest): void {
    this.#watching = vitest.config.watch;
  }

  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly SerializedError[]): void {
    const line = `${format(count(modules, unhandledErrors))}\n`;
    // Other reporters and the teardown may still print something, so the tally waits for the end of the process.
    if (this.#watching) process.stdout.write(line);
    else process.once('exit', () => writeSync(1, line));
  }
}

function brokenSuites(suite: TestModule | TestSuite): number {
  let broken = suite.errors().length > 0 ? 1 : 0;
  for (const inner of suite.children.suites()) broken += brokenSuites(inner);
  return broken;
}
