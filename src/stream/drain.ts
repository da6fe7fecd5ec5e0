import { STANDALONE } from '../backplane/backplane.js';
import { pause } from '../protocol/timing/backoff.js';
import type { Clock } from '../protocol/timing/clock.js';
import type { Follower } from './followers/follower.js';

/** The ends of the connections are spread over this time, so that their clients do not all come back at once. */
const SPREAD_MS = 1000;

/**
 * Connections of calls are ended this much later than those of GETs. Most calls end before, so their clients need not come
 * back.
 */
const CALL_MS = 1000;

/**
 * Ends the connections whose clients can come back, one after another. Those of GETs are ended first, and those of calls
 * that still run a second later. Resolves when the last one is ended.
 */
export async function spreadHangUps(
  followers: Follower[],
  withinMs: number,
  clock: Clock,
): Promise<void> {
  const resumable = followers.filter((follower) => follower.resumable);
  const spread = Math.min(SPREAD_MS, withinMs / 2);
  const later = Math.min(CALL_MS, withinMs / 4);
  await Promise.all(
    resumable.map(async (follower, index) => {
      const delay = (index / resumable.length) * spread;
      await pause(follower.stream === STANDALONE ? delay : delay + later, clock);
      // `resumable` is still true: once a client has a cursor, it keeps it.
      follower.end('hangup');
    }),
  );
}

/** Resolves when `done` does, and after `ms` at the latest. */
export async function atMost(
  ms: number,
  done: Promise<unknown> | undefined,
  clock: Clock,
): Promise<void> {
  let cancelTimer = (): void => undefined;
  const timeout = new Promise<void>((resolve) => {
    cancelTimer = clock.after(ms, resolve);
  });
  try {
    await Promise.race([done, timeout]);
  } finally {
    cancelTimer();
  }
}
