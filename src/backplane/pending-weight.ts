import type { NewSession } from './backplane.js';

/** More bytes than an ordinary handshake has. */
const HANDSHAKE_BYTES = 4096;

/**
 * Returns the weight of a new session: as how many sessions it counts toward the limit of pending sessions. Each further 4 KiB
 * of its handshake add 1, so that large handshakes fill neither nodes nor Redis. The weight is at most the limit itself, so a
 * principal without other pending sessions can always create one.
 */
export function pendingWeight({ initialize, most }: NewSession): number {
  const weight = Math.ceil(Buffer.byteLength(initialize) / HANDSHAKE_BYTES);
  return Math.max(1, Math.min(weight, most?.pending ?? 1));
}
