import { describe, expect, it } from 'vitest';
import { jittered } from '../../src/protocol/timing/clock.js';

describe('jitter', () => {
  it('changes a duration by up to a tenth in either direction', () => {
    const at = (random: number) => jittered(1000, { random: () => random });
    expect([at(0), at(0.5), at(1)]).toEqual([900, 1000, 1100]);
  });

  // Node keeps an empty list of timers for each duration until it is over, which is an hour for the age of a connection.
  // When each connection had its own duration, each left 0.3 kB.
  it('has a bounded number of different durations', () => {
    const seen = new Set<number>();
    for (let count = 0; count < 20_000; count += 1) {
      seen.add(Math.trunc(jittered(3_600_000, { random: () => Math.random() })));
    }
    expect(seen.size).toBeLessThanOrEqual(1025);
    expect(seen.size).toBeGreaterThan(900);
  });
});
