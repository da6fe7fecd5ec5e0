import type { TestProject } from 'vitest/node';
import { startRedis } from '../../demo/rig/redis.js';

declare module 'vitest' {
  interface ProvidedContext {
    /** The one Redis of the test run. Tests share it, so each takes a `uniquePrefix()`. */
    redisUrl: string;
  }
}

/** Starts the Redis of the test run. If there is none on this machine the run fails: no test is ever skipped for it. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const redis = await startRedis();
  project.provide('redisUrl', redis.url);
  return redis.stop;
}
