/**
 * Measures the memory that a hostile body leaves behind. `npx tsx bench/hostile-bytes.ts [CHECKOUT]` prints the table of
 * `docs/performance.md`. Each body is sent several times to a fresh server of each kind: the bare SDK, the given checkout,
 * and this checkout. The two checkouts use Redis.
 */
import { Redis } from 'ioredis';
import { startRedis } from '../test/rig/redis.js';
import { HOSTILE, type Hostile } from './hostile-bodies.js';
import { attack, openSession, start } from './hostile-server.js';

const TIMES = 5;

/** Returns the kilobytes that each body leaves behind, in the heap of the process and in Redis. */
async function leftBehind(
  kind: 'sdk' | 'anynode',
  each: Hostile,
  source?: string,
): Promise<string> {
  const redis = await startRedis();
  const client = new Redis(redis.url);
  const usedByRedis = async (): Promise<number> =>
    Number(/used_memory_dataset:(\d+)/.exec(await client.info('memory'))?.[1]);
  const server = await start(kind, {
    ...(source !== undefined && { source }),
    ...(kind === 'anynode' && { redis: redis.url }),
  });
  try {
    // The first session and the first body load and compile code, so they are not counted.
    await openSession(server.url, {});
    await attack(server.url, each);
    const heap = (await server.report()).heap;
    const stored = await usedByRedis();
    for (let time = 0; time < TIMES; time += 1) await attack(server.url, each);
    const kB = (bytes: number): string => Math.max(0, Math.round(bytes / TIMES / 1000)).toString();
    const left = kB((await server.report()).heap - heap);
    return kind === 'sdk' ? left : `${left} | ${kB((await usedByRedis()) - stored)}`;
  } catch {
    return kind === 'sdk' ? 'its process ends' : 'its process ends | ';
  } finally {
    server.stop();
    client.disconnect();
    await redis.stop();
  }
}

const [before] = process.argv.slice(2);
console.log('| body | SDK: heap | before: heap | Redis | now: heap | Redis |');
console.log('| --- | --: | --: | --: | --: | --: |');
const wanted = HOSTILE.filter(({ kind }) => kind.includes(process.argv[3] ?? ''));
for (const each of wanted) {
  const sdk = await leftBehind('sdk', each);
  const then = before === undefined ? ' | ' : await leftBehind('anynode', each, before);
  const now = await leftBehind('anynode', each);
  console.log(`| ${each.kind} | ${sdk} | ${then} | ${now} |`);
}
