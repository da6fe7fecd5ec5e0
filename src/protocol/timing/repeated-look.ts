import type { Clock } from './clock.js';

export interface RepeatedLookOptions {
  /** The time to the next look. It is asked before each. */
  everyMs: () => number;
  /** False while there is nothing to look at. Then no timer runs until `schedule` is called. Default: always true. */
  isNeeded?: () => boolean;
  /** It must not reject. */
  look: () => Promise<void>;
}

/** Looks at something from time to time, as long as that is needed. The pause begins when the look before has ended. */
export class RepeatedLook {
  private cancelTimer: (() => void) | undefined;
  private closed = false;

  constructor(
    private readonly clock: Pick<Clock, 'after'>,
    private readonly options: RepeatedLookOptions,
  ) {}

  get isClosed(): boolean {
    return this.closed;
  }

  /** Schedules the next look, if one is needed. It does nothing if a look is scheduled or under way. */
  schedule(): void {
    const { everyMs, isNeeded, look } = this.options;
    if (this.closed || this.cancelTimer !== undefined || isNeeded?.() === false) return;
    this.cancelTimer = this.clock.after(everyMs(), () => {
      void look().finally(() => {
        this.cancelTimer = undefined;
        this.schedule();
      });
    });
  }

  /** Cancels the next look. A look that is under way goes on, and is the last one. */
  close(): void {
    this.closed = true;
    this.cancelTimer?.();
  }
}
