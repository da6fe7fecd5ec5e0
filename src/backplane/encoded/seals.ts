/**
 * Makes and checks seals. A seal proves that a node with the codec wrote a value which is stored in clear, because scripts
 * compare it or look it up. An attacker who can write to the backplane can change such a value, but cannot make its seal.
 */
import { createHash } from 'node:crypto';
import type { PayloadContext, Payloads } from './payloads.js';

/**
 * The length of a digest: 132 bits of the value's hash. That is enough, because a forger would need a second value with the
 * same bits.
 */
const DIGEST_CHARACTERS = 22;

/**
 * The result of checking a seal:
 *
 * - `valid`: a node with the codec stored the value.
 * - `forged`: the seal belongs to another value.
 * - `unreadable`: this node cannot decode the seal, or there is none. The process's log says which.
 */
export type SealState = 'valid' | 'forged' | 'unreadable';

export function seal(payloads: Payloads, value: string, context: PayloadContext): string {
  return payloads.encode(digestOf(value), context);
}

/**
 * Checks a seal. `stored` is what is stored as the seal of `value`, if anything is. `where` names its owner for the
 * process's log.
 */
export function checkSeal(
  payloads: Payloads,
  stored: string | undefined,
  value: string,
  context: PayloadContext,
  where: string,
): SealState {
  const given = stored ?? '';
  const decoded = payloads.decode(given, context, where);
  if (decoded === undefined) return 'unreadable';
  // A codec that takes plaintext proves nothing. Nodes without a codec store no seals, or other ones.
  if (decoded === given || decoded === digestOf(value)) return 'valid';
  payloads.warn(`${where} has been changed by something that is no node`);
  return 'forged';
}

function digestOf(value: string): string {
  return createHash('sha256').update(value).digest('base64url').slice(0, DIGEST_CHARACTERS);
}
