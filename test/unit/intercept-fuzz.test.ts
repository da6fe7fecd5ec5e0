import { expect, it } from 'vitest';
import { fuzzOnce } from '../fuzz/upstream.js';

// This is a short run of `npm run fuzz` with fixed seeds.
it('refuses broken messages and event streams of a server in bounded time and memory', () => {
  for (let seed = 1; seed <= 1_500; seed += 1) {
    expect(() => fuzzOnce(seed), `seed ${seed}`).not.toThrow();
  }
});
