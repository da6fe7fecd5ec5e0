/**
 * Runs the fuzzers: `npm run fuzz -- --minutes 10 [--seed 1] [--of upstream|redis|codec]`. It goes through the seeds from
 * the given one on, and prints the seed that failed.
 */
import { setImmediate as turn } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { ClientFuzz } from './client.js';
import { startRedis } from '../rig/redis.js';
import { startFuzz } from './redis.js';
import { fuzzOnce } from './upstream.js';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '1' },
    seed: { type: 'string', default: '1' },
    /**
     * Which input is broken: that of servers and clients (`upstream`), or data in Redis, in clear (`redis`) or with a codec
     * (`codec`).
     */
    of: { type: 'string', default: 'upstream' },
  },
});
const server = values.of === 'upstream' ? undefined : await startRedis();
const onRedis = server && (await startFuzz(server.url, values.of === 'codec'));
const end = performance.now() + Number(values.minutes) * 60_000;
const first = Number(values.seed);
let seed = first;
let heapAtFirst = 0;
const warm = onRedis === undefined ? 5_000 : 200;
const clients = onRedis === undefined ? await ClientFuzz.start() : undefined;
for (; performance.now() < end; seed += 1) {
  try {
    if (onRedis === undefined) fuzzOnce(seed);
    else await onRedis.once(seed);
    // One request takes as long as many inputs of the other fuzzer.
    if (seed % 10 === 0) await clients?.once(seed);
    if (seed % 1_000 === 0) await clients?.check();
  } catch (error) {
    console.error(`seed ${seed} failed:`, error);
    process.exitCode = 1;
    break;
  }
  if (seed % 100 === 0) await turn();
  if (seed - first === warm) heapAtFirst = heapInUse();
}
await clients?.stop();
const mib = (bytes: number): number => Math.round(bytes / 2 ** 20);
const heap = heapInUse();
console.log(
  `${seed - first} inputs; heap ${mib(heapAtFirst)} MiB after ${warm}, ${mib(heap)} MiB at the end`,
);
await onRedis?.close();
await server?.stop();

/** Returns the heap in use after a garbage collection, because garbage is no growth. */
function heapInUse(): number {
  globalThis.gc?.();
  return process.memoryUsage().heapUsed;
}
