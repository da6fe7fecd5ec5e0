import type { NewSession } from './backplane.js';

/** What an ordinary handshake has, and more. */
const HANDSHAKE_BYTES = 4096;

/**
 * As how many sessions a new one counts among those that were never used: one more for each further 4 KiB of its handshake,
 * so that large handshakes fill neither nodes nor Redis. One session alone is let in whatever its handshake.
 */
export function pendingWeight({ initialize, most }: NewSession): number {
  const weight = Math.ceil(Buffer.byteLength(initialize) / HANDSHAKE_BYTES);
  return Math.max(1, Math.min(weight, most?.pending ?? 1));
}
