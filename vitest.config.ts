import { defineConfig, type TestProjectInlineConfiguration } from 'vitest/config';
import { LongestFirst } from './test/support/longest-first.js';
import { WORKERS } from './test/support/workers.js';

const shared: TestProjectInlineConfiguration['test'] = {
  pool: 'forks',
  maxWorkers: WORKERS,
  // What a machine that has other things to do may need, and several commands started one after another; no test is one
  // of time by these.
  testTimeout: 60_000,
  hookTimeout: 60_000,
  // Of the tests of a file that may run side by side.
  maxConcurrency: 2,
  // A second, the default, is not much where two files and a Redis share two busy processors.
  expect: { poll: { timeout: 10_000 } },
  setupFiles: ['test/support/setup.ts'],
};

/** The tests that need a program. `WITHOUT=nginx,chromium` leaves those of these programs out. */
const NEEDED_BY: Record<string, string[]> = {
  chromium: ['test/cluster/monitor-page.test.ts'],
  prometheus: ['test/cluster/telemetry.test.ts'],
  postgresql: ['test/audit/postgres-*.test.ts', 'test/cluster/chaos-trail.test.ts'],
  nginx: [
    'test/cluster/{clients,conformance,conformance-modern,eras,frameworks,rolling-nginx,story}.test.ts',
    'test/unit/rigs-nodes.test.ts',
  ],
};

const without = (process.env.WITHOUT ?? '').split(',');
const leftOut = without.flatMap((program) => NEEDED_BY[program] ?? []);

/** The tests of the endpoint that run over `mcp.fetch` too: behind the server of Hono, and called without a server. */
const OVER_FETCH = {
  fetch: [
    ...['abuse', 'bodies', 'cancel', 'close', 'content-coding', 'hang-up', 'hostile-bodies'],
    ...['hostile', 'initialize-ids', 'limits', 'malformed', 'modern', 'modern-close', 'principal'],
    ...['resume', 'sse', 'stalled', 'standalone', 'wire-bodies', 'wire-differences'],
    ...['wire-equality'],
  ],
  direct: [
    ...['cancel', 'hang-up', 'limits', 'lost-replies', 'malformed', 'modern-close', 'notify'],
    ...['principal', 'resume', 'servers', 'standalone'],
  ],
};

export default defineConfig({
  test: {
    sequence: { sequencer: LongestFirst },
    globalSetup: ['test/support/global-setup.ts'],
    reporters: ['default', './test/support/tally-reporter.ts'],
    projects: [
      {
        test: {
          ...shared,
          name: 'node',
          include: ['test/**/*.test.ts'],
          exclude: ['**/node_modules/**', 'test/cluster/**', ...leftOut],
        },
      },
      ...Object.entries(OVER_FETCH).map(([way, names]) => ({
        test: {
          ...shared,
          name: way,
          env: { OVER: way },
          include: names.map((name) => `test/integration/${name}.test.ts`),
        },
      })),
      {
        test: {
          ...shared,
          name: 'cluster',
          include: ['test/cluster/**/*.test.ts'],
          exclude: leftOut,
          // They come when the other tests are through.
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
