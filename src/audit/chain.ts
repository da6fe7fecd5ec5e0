/** The hashes that make a change of the audit trail visible, and what else writers and readers of records share. */
import { hash } from 'node:crypto';
import type { PayloadContext } from '../backplane/encoded/payloads.js';
import type { JsonRpcMessage } from '../protocol/json/jsonrpc.js';
import type { AuditRecord } from './record.js';

/** The fields that the hash of a record covers, in the order in which it covers them. */
const HASHED = [
  ...(['v', 'session', 'chain', 'seq', 'ordinal', 'outbox', 'at', 'logId', 'type'] as const),
  ...(['principal', 'client', 'protocol', 'direction', 'stream', 'method', 'tool'] as const),
  ...(['requestId', 'outcome', 'durationMs', 'receivedBy', 'ranOn', 'shownBy', 'from'] as const),
  ...(['skipped', 'trace', 'reason', 'missing', 'unreadable', 'redacted'] as const),
  ...(['bytes', 'digest', 'previous'] as const),
] satisfies (keyof AuditRecord)[];

/** Returns the hash of a record. A field that is left out counts as such, and not as an empty text. */
export function hashOf(record: Omit<AuditRecord, 'hash'>): string {
  // The place of each field comes before it, so no two records with different fields give the same text. A loop takes half of the
  // time of `map`, and this is called for each record.
  const fields: unknown[] = [];
  for (let at = 0; at < HASHED.length; at += 1) {
    const value = record[HASHED[at] as keyof typeof record];
    if (value !== undefined) fields.push(at, value);
  }
  return sha256(JSON.stringify(fields));
}

/** Returns the digest of a message, by which its record is verified. */
export function digestOf(salt: string, text: string): string {
  return sha256(`${salt}\n${text}`);
}

/** Returns the text of a message that its digest covers. It is the same before and after the record was stored. */
export function textOf(message: JsonRpcMessage): string {
  return JSON.stringify(message);
}

/**
 * Returns the salt of the message of one record. It follows from the secret of the chain, so that a second delivery has the
 * same one. The salt of one record does not tell that of another.
 */
export function saltOf(secret: string, seq: number): string {
  return sha256(`${secret}\n${seq}`).slice(0, 22);
}

/** The context with which the message of a record is encoded and decoded. */
export function sealedContext(sessionId: string): PayloadContext {
  return { sessionId, kind: 'message' };
}

/** Hashes a text in one step. With an object for each hash, the garbage collector takes longer than all the hashes. */
function sha256(text: string): string {
  return hash('sha256', text, 'base64url');
}
