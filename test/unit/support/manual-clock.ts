import type { Clock } from '../../../src/protocol/timing/clock.js';

interface Timer {
  due: number;
  callback: () => void;
}

/** A clock that stands still until it is told to go on. */
export class ManualClock implements Clock {
  private time = 1_000_000;
  private timers: Timer[] = [];

  now(): number {
    return this.time;
  }

  after(ms: number, callback: () => void): () => void {
    const timer = { due: this.time + ms, callback };
    this.timers.push(timer);
    return () => {
      this.timers = this.timers.filter((other) => other !== timer);
    };
  }

  /** No jitter, so that tests know when. */
  elapsed(): number {
    return this.now();
  }

  random(): number {
    return 0.5;
  }

  /** How many timers wait. */
  get pending(): number {
    return this.timers.length;
  }

  /** Lets `ms` pass: calls what is due, in order, and lets each settle before the next. */
  async advance(ms: number): Promise<void> {
    const end = this.time + ms;
    await settled();
    for (;;) {
      const [next] = this.timers
        .filter(({ due }) => due <= end)
        .sort((one, other) => one.due - other.due);
      if (next === undefined) break;
      this.timers = this.timers.filter((timer) => timer !== next);
      this.time = Math.max(this.time, next.due);
      next.callback();
      await settled();
    }
    this.time = end;
  }
}

/** Resolves when nothing is left to be done at once. */
export function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
