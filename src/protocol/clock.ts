/**
 * Time, as the library sees it, and the chance that moves it a little. Passed in rather than reached for, so that tests
 * can run on a clock of their own.
 */
export interface Clock {
  /**
   * Milliseconds since the epoch, by the clock of this machine, which may be wrong and may jump. Only for what people look
   * at: intervals go by `elapsed`, and moments by the clock of the backplane (`BackplaneClock.timeOf`).
   */
  now(): number;
  /** Milliseconds from some beginning, which go on evenly whatever the machine's time is set to. */
  elapsed(): number;
  /** Calls `callback` once after `ms`. The timer never keeps the process alive. Returns its cancellation. */
  after(ms: number, callback: () => void): () => void;
  /** From 0 up to 1. For jitter only: nothing secret may come of it. */
  random(): number;
}

const LONGEST_TIMER_MS = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => Date.now(),
  elapsed: () => performance.now(),
  after(ms, callback) {
    const timer = setTimeout(callback, Math.min(Math.max(ms, 0), LONGEST_TIMER_MS));
    timer.unref();
    return () => clearTimeout(timer);
  },
  random: () => Math.random(),
};

/**
 * As many different times as a jitter may come to. Node keeps a list per duration of `unref()`ed timers until that duration is
 * over, though all of them were cancelled long before: with any number of durations, each connection would leave one.
 */
const STEPS = 1024;

/** `ms`, moved by up to a tenth in either direction, so that many nodes or connections do not act in the same instant. */
export function jittered(ms: number, clock: Pick<Clock, 'random'>): number {
  return ms * (0.9 + (Math.round(clock.random() * STEPS) / STEPS) * 0.2);
}
