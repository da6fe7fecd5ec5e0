import type * as Anynode from '../../src/index.js';

const BUILT = new URL('../../dist/index.js', import.meta.url).href;

/**
 * Loads the built package, because that is what users run. The TypeScript of `src` would also run, but tsx compiles it with
 * an extra call for each inner function that is created.
 */
export async function built(): Promise<typeof Anynode> {
  return (await import(BUILT)) as typeof Anynode;
}
