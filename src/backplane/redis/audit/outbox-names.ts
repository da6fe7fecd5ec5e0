/** The name of the only outbox of a single server. */
export const ONLY_OUTBOX = 'all';

const SLOTS = 16_384;

/** For each slot of a cluster, the first of the texts `0`, `1`, … `z`, `10`, … that lies in it. */
const found = new Map<number, string>();
let tried = 0;

/**
 * Returns the name of the outbox in the slot of a hash tag. All nodes find the same one. Each outbox has to be in the slot of
 * its sessions, because a script of a cluster may use the keys of one slot only.
 *
 * All searches together take some tens of milliseconds in the life of a process.
 */
export function outboxNameOf(tag: string): string {
  const slot = slotOf(tag);
  for (;;) {
    const name = found.get(slot);
    if (name !== undefined) return name;
    const next = tried.toString(36);
    tried += 1;
    const its = slotOf(next);
    if (!found.has(its)) found.set(its, next);
  }
}

/** True if a node gives this name to an outbox of a cluster. A text from Redis may be anything. */
export function isOutboxName(text: string): boolean {
  return /^[0-9a-z]{1,5}$/.test(text) && outboxNameOf(text) === text;
}

/** Returns the slot of a hash tag: its `CRC-16` (XMODEM), as Redis Cluster computes it. */
function slotOf(tag: string): number {
  let crc = 0;
  for (const byte of Buffer.from(tag)) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit += 1) crc = crc & 0x8000 ? (crc << 1) ^ 0x1021 : crc << 1;
  }
  return (crc & 0xffff) % SLOTS;
}
