import type { Clock } from './clock.js';

/** One in a list in the order in which they are due, since all are of one length. */
class Wait {
  before: Wait | undefined;
  after: Wait | undefined;

  constructor(
    readonly dueAt: number,
    readonly run: () => void,
  ) {}
}

/**
 * Any number of waits of one length, with one timer for all of them. Most are over before it strikes (a command that is
 * answered, a response that is sent): then a wait costs a place in a linked list, where a timer of its own is made, linked
 * and taken apart again for each request, and a set would be grown and shrunk with the load.
 */
export class SharedTimer {
  private first: Wait | undefined;
  private last: Wait | undefined;
  private cancelTimer: (() => void) | undefined;

  constructor(
    private readonly clock: Pick<Clock, 'elapsed' | 'after'>,
    private readonly ms: number,
  ) {}

  /** Calls `run` once when the time is over, never sooner. Returns its cancellation. */
  after(run: () => void): () => void {
    const wait = new Wait(this.clock.elapsed() + this.ms, run);
    wait.before = this.last;
    if (this.last === undefined) this.first = wait;
    else this.last.after = wait;
    this.last = wait;
    if (this.cancelTimer === undefined) this.arm(this.ms);
    return () => this.remove(wait);
  }

  /** Calls at once what still waits. */
  close(): void {
    this.cancelTimer?.();
    this.cancelTimer = undefined;
    let wait = this.first;
    this.first = undefined;
    this.last = undefined;
    while (wait !== undefined) {
      const next: Wait | undefined = wait.after;
      wait.before = undefined;
      wait.after = undefined;
      wait.run();
      wait = next;
    }
  }

  /** One that is not in the list any more stands alone, and changes nothing. */
  private remove(wait: Wait): void {
    const { before, after } = wait;
    if (before !== undefined) before.after = after;
    else if (this.first === wait) this.first = after;
    if (after !== undefined) after.before = before;
    else if (this.last === wait) this.last = before;
    wait.before = undefined;
    wait.after = undefined;
  }

  private arm(ms: number): void {
    this.cancelTimer = this.clock.after(ms, () => this.strike());
  }

  private strike(): void {
    // `cancelTimer` stays until the end: a wait that is begun meanwhile has a timer, the next one.
    const now = this.clock.elapsed();
    while (this.first !== undefined && this.first.dueAt <= now) {
      const wait = this.first;
      this.remove(wait);
      wait.run();
    }
    this.cancelTimer = undefined;
    // Whole milliseconds, as timers have them: else it strikes a moment too soon, and once more for nothing.
    if (this.first !== undefined) {
      this.arm(Math.max(0, Math.ceil(this.first.dueAt - this.clock.elapsed())));
    }
  }
}
