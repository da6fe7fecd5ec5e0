import type { Clock } from './clock.js';

/** An entry of a linked list. All waits are equally long, so the order of the list is the order in which they are due. */
class Wait {
  before: Wait | undefined;
  after: Wait | undefined;

  constructor(
    readonly dueAt: number,
    readonly run: () => void,
  ) {}
}

/**
 * Any number of waits of the same length, with one timer for all of them.
 *
 * Most waits are cancelled before the timer fires, because the command was answered or the response was sent. Then a wait
 * costs only an entry in a linked list. A timer for each wait would have to be created and removed with each request, and
 * a `Set` of waits would grow and shrink with the load.
 */
export class SharedTimer {
  private first: Wait | undefined;
  private last: Wait | undefined;
  private cancelTimer: (() => void) | undefined;

  constructor(
    private readonly clock: Pick<Clock, 'elapsed' | 'after'>,
    private readonly ms: number,
  ) {}

  /** Calls `run` once when the time is over, never sooner. Returns a function that cancels the wait. */
  after(run: () => void): () => void {
    const wait = new Wait(this.clock.elapsed() + this.ms, run);
    wait.before = this.last;
    if (this.last === undefined) this.first = wait;
    else this.last.after = wait;
    this.last = wait;
    if (this.cancelTimer === undefined) this.arm(this.ms);
    return () => this.remove(wait);
  }

  /** Calls `run` of each wait that is left at once. */
  close(): void {
    this.cancelTimer?.();
    this.cancelTimer = undefined;
    const waits: Wait[] = [];
    for (let wait = this.first; wait !== undefined; wait = wait.after) waits.push(wait);
    for (const wait of waits) {
      // An earlier wait's `run` may have cancelled this one.
      if (wait !== this.first && wait.before === undefined) continue;
      this.remove(wait);
      wait.run();
    }
  }

  /** Takes a wait out of the list. Nothing happens if it is not in the list any more. */
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
    // `cancelTimer` stays set during the loop, so that a wait which `run` adds does not start a timer of its own.
    const now = this.clock.elapsed();
    while (this.first !== undefined && this.first.dueAt <= now) {
      const wait = this.first;
      this.remove(wait);
      wait.run();
    }
    this.cancelTimer = undefined;
    // Timers count whole milliseconds. Without rounding up, this one would fire too soon, and then once more.
    if (this.first !== undefined) {
      this.arm(Math.max(0, Math.ceil(this.first.dueAt - this.clock.elapsed())));
    }
  }
}
