/** `npm run fuzz -- --minutes 10 [--seed 1]`: goes on from a seed, and says which one failed. */
import { setImmediate as turn } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { ClientFuzz } from './client.js';
import { fuzzOnce } from './upstream.js';

const { values } = parseArgs({
  options: { minutes: { type: 'string', default: '1' }, seed: { type: 'string', default: '1' } },
});
const end = performance.now() + Number(values.minutes) * 60_000;
const first = Number(values.seed);
let seed = first;
let heapAtFirst = 0;
const clients = await ClientFuzz.start();
for (; performance.now() < end; seed += 1) {
  try {
    fuzzOnce(seed);
    // A request takes as long as many of the others.
    if (seed % 10 === 0) await clients.once(seed);
    if (seed % 1_000 === 0) await clients.check();
  } catch (error) {
    console.error(`seed ${seed} failed:`, error);
    process.exitCode = 1;
    break;
  }
  if (seed % 100 === 0) await turn();
  if (seed - first === 5_000) heapAtFirst = process.memoryUsage().heapUsed;
}
await clients.stop();
const mib = (bytes: number): number => Math.round(bytes / 2 ** 20);
const heap = process.memoryUsage().heapUsed;
console.log(
  `${seed - first} inputs; heap ${mib(heapAtFirst)} MiB after 5,000, ${mib(heap)} MiB at the end`,
);
