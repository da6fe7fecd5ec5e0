/**
 * The time, the timers and the random numbers that the library uses. A clock is passed in as an argument, so that tests
 * can use their own.
 */
export interface Clock {
  /**
   * Returns the milliseconds since the epoch by the clock of this machine, which may be wrong and may jump. Use it only
   * for times that people read. Use `elapsed` for intervals, and `BackplaneClock.timeOf` for moments that nodes compare.
   */
  now(): number;
  /** Returns the milliseconds since some fixed moment. They go on evenly when the machine's time is changed. */
  elapsed(): number;
  /** Calls `callback` once after `ms`, and returns a function that cancels the timer. It never keeps the process alive. */
  after(ms: number, callback: () => void): () => void;
  /** Returns a number from 0 up to 1. It is for jitter only, and never for secrets. */
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
 * How many different durations a jitter can have. Node keeps one list of `unref()`ed timers for each duration until that
 * duration is over, even if all its timers were cancelled. Without this limit, each connection would leave such a list.
 */
const STEPS = 1024;

/** Changes `ms` by up to a tenth in either direction, so that many nodes or connections do not act at the same instant. */
export function jittered(ms: number, clock: Pick<Clock, 'random'>): number {
  return ms * (0.9 + (Math.round(clock.random() * STEPS) / STEPS) * 0.2);
}
