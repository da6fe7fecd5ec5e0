import type { ChainCheck } from './chain-check.js';

/** How many hashes of chains that have ended are remembered, of all chains together. */
const MOST_REMEMBERED = 100_000;

/**
 * The checks of all chains: of those without an end, and of the last ones that have ended. What follows the end of a chain soon
 * is recognized by that. Later, it is a chain without its first records.
 */
export class ChainChecks {
  private readonly open = new Map<string, ChainCheck>();
  /** The latest last. */
  private readonly ended = new Map<string, ChainCheck>();
  private remembered = 0;

  /** How many chains have no end. */
  get openCount(): number {
    let count = 0;
    for (const { hasEnded } of this.open.values()) if (!hasEnded) count += 1;
    return count;
  }

  /** Returns the check of a chain, if it is known. Call `keep` after it was used. */
  find(key: string): ChainCheck | undefined {
    const ended = this.ended.get(key);
    if (ended === undefined) return this.open.get(key);
    this.ended.delete(key);
    this.remembered -= ended.size;
    return ended;
  }

  /** Keeps the check of a chain, for long only if the chain has not ended. */
  keep(key: string, check: ChainCheck): void {
    if (!check.isSettled) {
      this.open.set(key, check);
      return;
    }
    this.open.delete(key);
    this.ended.set(key, check);
    this.remembered += check.size;
    for (const [oldest, { size }] of this.ended) {
      if (this.remembered <= MOST_REMEMBERED) return;
      this.ended.delete(oldest);
      this.remembered -= size;
    }
  }
}
