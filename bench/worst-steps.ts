/**
 * Measures the worst case of every script: how long the longest command of a step takes Redis, whatever a client has done
 * before. `npx tsx bench/worst-steps.ts` prints the table of `docs/performance.md`.
 * `test/contract/redis-worst-steps.test.ts` counts the work of the same steps, and checks that it is bounded.
 */
import { pathToFileURL } from 'node:url';
import { Redis } from 'ioredis';
import { startRedis } from '../test/rig/redis.js';
import { AUDIT_SCENARIOS } from './worst-steps/audit-scenarios.js';
import { SDK_STORE_SCENARIOS } from './worst-steps/sdk-store-scenarios.js';
import { SESSION_SCENARIOS } from './worst-steps/session-scenarios.js';
import type { Scenario } from './worst-steps/world.js';
import { World } from './worst-steps/world.js';

/** The cost of a step: its longest command in µs, and the number of its commands, including those within scripts. */
interface Cost {
  longestUs: number;
  commands: number;
}

export const SCENARIOS: readonly Scenario[] = [
  ...SESSION_SCENARIOS,
  ...SDK_STORE_SCENARIOS,
  ...AUDIT_SCENARIOS,
];

/**
 * Runs a step `times` times, and returns the run whose longest command took the least time. On a busy machine, commands
 * only take longer.
 */
async function measure(redis: Redis, step: () => Promise<unknown>, times = 3): Promise<Cost> {
  await redis.config('SET', 'slowlog-log-slower-than', 0);
  await redis.config('SET', 'slowlog-max-len', 100_000);
  let best: Cost | undefined;
  for (let at = 0; at < times; at += 1) {
    await redis.slowlog('RESET');
    await step();
    const log = (await redis.slowlog('GET', 100_000)) as [number, number, number, string[]][];
    const us = log
      .filter(([, , , [name = '']]) => !/^(?:slowlog|config|info|client)/i.test(name))
      .map(([, , time]) => time);
    const cost = {
      longestUs: Math.max(0, ...us),
      commands: us.length,
    };
    if (best === undefined || cost.longestUs < best.longestUs) best = cost;
  }
  await redis.config('SET', 'slowlog-log-slower-than', -1);
  await redis.slowlog('RESET');
  return best as Cost;
}

async function main(only: string): Promise<void> {
  const server = await startRedis();
  const redis = new Redis(server.url);
  console.log('| script | situation | longest, µs | commands |\n| --- | --- | --: | --: |');
  for (const [at, { script, situation, prepare }] of SCENARIOS.entries()) {
    if (!`${script} ${situation}`.includes(only)) continue;
    await redis.flushall();
    const world = new World(redis, server.url, `w${at}`);
    await world.ready();
    const step = await prepare(world);
    const { longestUs, commands } = await measure(redis, step);
    console.log(`| ${script} | ${situation} | ${longestUs} | ${commands} |`);
    await world.close();
  }
  redis.disconnect();
  await server.stop();
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href)
  await main(process.argv[2] ?? '');
