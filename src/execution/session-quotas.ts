import { TooManySessions } from '../backplane/backplane.js';
import type { Clock } from '../protocol/timing/clock.js';

/** How long a refusal is remembered. Each count of a principal's sessions costs the backplane a look at every one of them. */
const AGAIN_MS = 1000;

/**
 * Remembers for a moment which principals have too many sessions. So a flood of `initialize` requests builds no servers and
 * counts no sessions.
 */
export class SessionQuotas {
  private readonly full = new Map<string, { until: number; error: TooManySessions }>();

  constructor(private readonly clock: Clock) {}

  /** Throws {@link TooManySessions} if the principal was refused less than a second ago. */
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
