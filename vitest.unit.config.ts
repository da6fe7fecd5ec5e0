import { readdirSync, readFileSync } from 'node:fs';
import { defineConfig } from 'vitest/config';

/** Test files that need Redis or start processes are known by their names, or by what they import. */
const NEEDS_REDIS = /^test\/contract\/redis/;
const NEEDS_MORE = /redis-fixture|\/rig\/|support\/cli|child_process|redis-snapshot|worker_threads/;

const files = ['unit', 'audit', 'contract', 'integration', 'ownership', 'sdk-stores']
  .flatMap((folder) => readdirSync(`test/${folder}`).map((name) => `test/${folder}/${name}`))
  .filter((file) => file.endsWith('.test.ts') && !NEEDS_REDIS.test(file))
  .filter((file) => !NEEDS_MORE.test(readFileSync(file, 'utf8')));

/** `npm run test:unit` runs the tests that need neither Redis nor other processes. What runs on several backplanes runs in memory only. */
export default defineConfig({
  test: {
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    expect: { poll: { timeout: 10_000 } },
    setupFiles: ['test/support/setup.ts'],
    reporters: ['default', './test/support/tally-reporter.ts'],
    include: files,
  },
});
