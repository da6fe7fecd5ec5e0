import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { startRedis } from '../rig/redis.js';
import { compile } from './compile.js';
import { WORKERS } from './workers.js';

declare module 'vitest' {
  interface ProvidedContext {
    /** A Redis for each worker. The tests of a file share one, so each takes a `uniquePrefix()`. */
    redisUrls: string[];
    /** Where the package is packed, by the first test that needs it. */
    packedFolder: string;
  }
}

/**
 * Compiles the programs that tests start, and starts the Redis servers of the test run. If Redis is not installed, the run
 * fails. No test is skipped for that.
 */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const [all, removeCompiled, packedFolder] = await Promise.all([
    Promise.all(Array.from({ length: WORKERS }, () => startRedis())),
    compile(),
    mkdtemp(join(tmpdir(), 'mcp-anynode-packed-')),
  ]);
  project.provide('packedFolder', packedFolder);
  project.provide(
    'redisUrls',
    all.map(({ url }) => url),
  );
  return async () => {
    await Promise.all([
      removeCompiled(),
      rm(packedFolder, { recursive: true, force: true }),
      ...all.map((redis) => redis.stop()),
    ]);
  };
}
