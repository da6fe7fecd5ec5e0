import type { Clock } from '../protocol/clock.js';

/**
 * The end of something, for those that need to hear of it. Not an `AbortController`, which is an event target and an event
 * per call, for what is a flag and one or two callbacks.
 */
export class Ending {
  private readonly callbacks = new Set<() => void>();
  private over = false;

  get ended(): boolean {
    return this.over;
  }

  /** Once; repeating it is harmless. */
  end(): void {
    if (this.over) return;
    this.over = true;
    const callbacks = [...this.callbacks];
    this.callbacks.clear();
    for (const callback of callbacks) callback();
  }

  /** Called when it ends, or at once if it has. Returns its cancellation. */
  onEnd(callback: () => void): () => void {
    if (this.over) {
      callback();
      return () => undefined;
    }
    this.callbacks.add(callback);
    return () => this.callbacks.delete(callback);
  }

  /** One that ends with this one, or after `ms`; until it is released. */
  within(ms: number, clock: Clock): { ending: Ending; release: () => void } {
    const ending = new Ending();
    const cancels = [this.onEnd(() => ending.end()), clock.after(ms, () => ending.end())];
    const release = (): void => {
      for (const cancel of cancels) cancel();
    };
    return { ending, release };
  }
}
