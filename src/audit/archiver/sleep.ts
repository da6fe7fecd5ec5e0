import type { Clock } from '../../protocol/timing/clock.js';

/** Pauses that can be ended early. Several parts may sleep at the same time. */
export class Sleep {
  private readonly wakers = new Set<() => void>();

  constructor(private readonly clock: Pick<Clock, 'after'>) {}

  /** Resolves after `ms`, or when `wake` is called. */
  atMost(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        cancelTimer();
        this.wakers.delete(wake);
        resolve();
      };
      const cancelTimer = this.clock.after(ms, wake);
      this.wakers.add(wake);
    });
  }

  wake(): void {
    for (const wake of [...this.wakers]) wake();
  }
}
