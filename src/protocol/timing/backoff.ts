import { AnynodeError, FailedStep } from '../errors.js';
import type { Clock } from './clock.js';
import { jittered } from './clock.js';

/** The pauses between tries. Each is twice as long as the one before, up to the longest. */
export interface Pauses {
  firstMs: number;
  longestMs: number;
}

/** The pauses between tries to read the log. */
export const LOG_PAUSES: Pauses = { firstMs: 100, longestMs: 2000 };

/** Resolves when it is time for the next try. `failures` counts the tries that failed before the last one. */
export function backOff(failures: number, pauses: Pauses, clock: Clock): Promise<void> {
  return pause(jittered(pauseAfter(failures, pauses), clock), clock);
}

/**
 * Runs a read of the backplane, and again for as long as the backplane cannot be reached. Rejects with any other error, which
 * is `closed` once this node has closed.
 */
export async function untilReached<T>(read: () => Promise<T>, clock: Clock): Promise<T> {
  for (let failures = 0; ; failures += 1) {
    try {
      return await read();
    } catch (error) {
      const isAway = error instanceof AnynodeError && error.code === 'backplane_unavailable';
      if (!isAway || error instanceof FailedStep) throw error;
      await backOff(failures, LOG_PAUSES, clock);
    }
  }
}

export function pauseAfter(failures: number, { firstMs, longestMs }: Pauses): number {
  return Math.min(firstMs * 2 ** failures, longestMs);
}

export function pause(ms: number, clock: Pick<Clock, 'after'>): Promise<void> {
  return new Promise((resolve) => clock.after(ms, resolve));
}
