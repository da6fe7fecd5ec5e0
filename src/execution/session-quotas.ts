import { TooManySessions } from '../backplane/backplane.js';
import type { Clock } from '../protocol/clock.js';

/** To count the sessions of a caller that has too many costs a look at each: no more often than this. */
const AGAIN_MS = 1000;

/** Remembers for a moment who has too many sessions, so that a flood of `initialize` builds no servers and counts nothing. */
export class SessionQuotas {
  private readonly full = new Map<string, { until: number; error: TooManySessions }>();

  constructor(private readonly clock: Clock) {}

  /** Throws {@link TooManySessions} where that was found out just now. */
  check(principal: string): void {
    const full = this.full.get(principal);
    if (full === undefined) return;
    if (full.until > this.clock.elapsed()) throw full.error;
    this.full.delete(principal);
  }

  async watch<T>(principal: string, create: () => Promise<T>): Promise<T> {
    try {
      return await create();
    } catch (error) {
      if (error instanceof TooManySessions) this.remember(principal, error);
      throw error;
    }
  }

  private remember(principal: string, error: TooManySessions): void {
    const now = this.clock.elapsed();
    for (const [other, { until }] of this.full) if (until <= now) this.full.delete(other);
    this.full.set(principal, { until: now + AGAIN_MS, error });
  }
}
