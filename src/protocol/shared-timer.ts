import type { Clock } from './clock.js';

interface Wait {
  dueAt: number;
  run: () => void;
}

/**
 * Any number of waits of one length, with one timer for all of them. Most are over before it strikes (a command that is
 * answered, a response that is sent): then a wait costs two steps in a set, where a timer of its own is made, linked and
 * taken apart again for each request.
 */
export class SharedTimer {
  /** In the order in which they are due, since all are of one length. */
  private readonly waits = new Set<Wait>();
  private cancelTimer: (() => void) | undefined;

  constructor(
    private readonly clock: Pick<Clock, 'elapsed' | 'after'>,
    private readonly ms: number,
  ) {}

  /** Calls `run` once when the time is over, never sooner. Returns its cancellation. */
  after(run: () => void): () => void {
    const wait = { dueAt: this.clock.elapsed() + this.ms, run };
    this.waits.add(wait);
    if (this.cancelTimer === undefined) this.arm(this.ms);
    return () => this.waits.delete(wait);
  }

  /** Calls at once what still waits. */
  close(): void {
    this.cancelTimer?.();
    this.cancelTimer = undefined;
    const waits = [...this.waits];
    this.waits.clear();
    for (const { run } of waits) run();
  }

  private arm(ms: number): void {
    this.cancelTimer = this.clock.after(ms, () => this.strike());
  }

  private strike(): void {
    // `cancelTimer` stays until the end: a wait that is begun meanwhile has a timer, the next one.
    const now = this.clock.elapsed();
    for (const wait of this.waits) {
      if (wait.dueAt > now) break;
      this.waits.delete(wait);
      wait.run();
    }
    this.cancelTimer = undefined;
    const [next] = this.waits;
    // Whole milliseconds, as timers have them: else it strikes a moment too soon, and once more for nothing.
    if (next !== undefined) this.arm(Math.max(0, Math.ceil(next.dueAt - this.clock.elapsed())));
  }
}
