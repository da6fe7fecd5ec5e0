import type * as Anynode from '../../src/index.js';

const BUILT = new URL('../../dist/index.js', import.meta.url).href;

/**
 * What is measured is what is shipped. The TypeScript of `src` would run too, but as tsx compiles it: with a call for
 * the name of each inner function, each time one is made.
 */
export async function built(): Promise<typeof Anynode> {
  return (await import(BUILT)) as typeof Anynode;
}
