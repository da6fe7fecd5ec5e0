/**
 * Seals: proofs that a node with the codec wrote a value which is stored in clear, since scripts compare it or look it up.
 * Somebody who can write to the backplane can change such a value, but cannot make the seal that belongs to it.
 */
import { createHash } from 'node:crypto';
import type { PayloadContext, Payloads } from './payloads.js';

/** 132 bits of the value's hash: enough, since a forger would need a second value with the same ones. */
const DIGEST_CHARACTERS = 22;

/**
 * - `valid`: a node with the codec stored the value;
 * - `forged`: the seal is that of another value;
 * - `unreadable`: this node cannot decode the seal, or there is none. The process's log says which.
 */
export type SealState = 'valid' | 'forged' | 'unreadable';

export function seal(payloads: Payloads, value: string, context: PayloadContext): string {
  return payloads.encode(digestOf(value), context);
}

/** `stored`: what is stored as the seal of `value`, if anything is. `where`: what it belongs to, for the process's log. */
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
  // A codec that takes plaintext proves nothing: nodes without a codec store no seals, or others.
  if (decoded === given || decoded === digestOf(value)) return 'valid';
  payloads.warn(`${where} has been changed by something that is no node`);
  return 'forged';
}

function digestOf(value: string): string {
  return createHash('sha256').update(value).digest('base64url').slice(0, DIGEST_CHARACTERS);
}
