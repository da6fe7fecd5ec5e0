import { simulate } from './simulate.js';
const from = Number(process.argv[2] ?? 1);
const count = Number(process.argv[3] ?? 1);
const began = Date.now();
let steps = 0;
for (let seed = from; seed < from + count; seed += 1) {
  const outcome = await simulate(seed);
  steps += outcome.steps;
  if (outcome.violations.length > 0 || count === 1) {
    if (count === 1) console.log(outcome.trace.join('\n'));
    console.log(`seed ${seed}: ${outcome.violations.length}`, outcome.violations.slice(0, 5));
  }
}
console.log(`${count} seeds, ${steps} steps, ${Date.now() - began} ms`);
