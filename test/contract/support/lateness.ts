import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Whatever a promise settles with, and how long after `ms` (before it: less than 0), by a timer that was set beside it. On a
 * machine that stands still for a while both are late, and neither is later than the other.
 */
export async function lateness(
  ms: number,
  begin: () => Promise<unknown>,
): Promise<{ outcome: unknown; lateMs: number }> {
  const due = sleep(ms).then(() => performance.now());
  const outcome = await begin().catch((error: unknown) => error);
  const settledAt = performance.now();
  return { outcome, lateMs: settledAt - (await due) };
}
