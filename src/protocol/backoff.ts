import type { Clock } from './clock.js';
import { jittered } from './clock.js';

/** The pauses between tries: each is twice as long as the one before, up to the longest. */
export interface Pauses {
  firstMs: number;
  longestMs: number;
}

/** Between tries to read the log, which nothing replaces. */
export const LOG_PAUSES: Pauses = { firstMs: 100, longestMs: 2000 };

/** Resolves when it is time for the next try, after so many `failures` before the last one. */
export function backOff(failures: number, pauses: Pauses, clock: Clock): Promise<void> {
  return pause(jittered(pauseAfter(failures, pauses), clock), clock);
}

export function pauseAfter(failures: number, { firstMs, longestMs }: Pauses): number {
  return Math.min(firstMs * 2 ** failures, longestMs);
}

export function pause(ms: number, clock: Pick<Clock, 'after'>): Promise<void> {
  return new Promise((resolve) => clock.after(ms, resolve));
}
