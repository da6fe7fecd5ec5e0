import type { Clock } from '../protocol/timing/clock.js';

/**
 * The end of a call or a session, with callbacks. An `AbortController` would cost an event target and an event per call,
 * where a flag and one or two callbacks do.
 */
export class Ending {
  private readonly callbacks = new Set<() => void>();
  private over = false;

  get ended(): boolean {
    return this.over;
  }

  /** Runs the callbacks. A second call does nothing. */
  end(): void {
    if (this.over) return;
    this.over = true;
    const callbacks = [...this.callbacks];
    this.callbacks.clear();
    for (const callback of callbacks) callback();
  }

  /** Calls `callback` at the end, or at once if it has ended. Returns a function that cancels the callback. */
  onEnd(callback: () => void): () => void {
    if (this.over) {
      callback();
      return () => undefined;
    }
    this.callbacks.add(callback);
    return () => this.callbacks.delete(callback);
  }

  /** Returns an ending that ends together with this one, or after `ms`. `release` removes its timer and callback. */
  within(ms: number, clock: Clock): { ending: Ending; release: () => void } {
    const ending = new Ending();
    const cancels = [this.onEnd(() => ending.end()), clock.after(ms, () => ending.end())];
    const release = (): void => {
      for (const cancel of cancels) cancel();
    };
    return { ending, release };
  }
}
