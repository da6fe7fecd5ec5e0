export interface Random {
  seed: number;
  /** A whole number from `from` to `to`, both included. */
  int: (from: number, to: number) => number;
  pick: <T>(list: readonly T[]) => T;
}

/**
 * Random choices that a seed repeats. The seed is in the variable SEED, or new for each run; it is printed, so that
 * a failure can be looked at again: `SEED=123 npx vitest run test/cluster/notifications.test.ts`.
 */
export function seededRandom(seed = Number(process.env['SEED'] ?? Date.now() % 1_000_000)): Random {
  console.log(`SEED=${seed}`);
  let state = seed;
  // mulberry32
  const next = (): number => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  const int = (from: number, to: number): number => from + Math.floor(next() * (to - from + 1));
  return {
    seed,
    int,
    pick: <T>(list: readonly T[]) => list[int(0, list.length - 1)] as T,
  };
}
