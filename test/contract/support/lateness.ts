import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Waits for a promise. Returns its outcome, and by how much it was later than `ms` (negative: earlier), measured by a timer
 * that starts at the same time. If the machine stands still for a while, both are late by the same time.
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
