import { isObject } from '../../protocol/json/jsonrpc.js';
import type { AuditRecord } from '../record.js';

const TEXTS = ['session', 'chain', 'outbox', 'logId', 'type', 'previous', 'hash'] as const;
const NUMBERS = ['seq', 'ordinal', 'at'] as const;
const OPTIONAL_TEXTS = [
  ...(['principal', 'client', 'protocol', 'direction', 'stream', 'method', 'tool'] as const),
  ...(['outcome', 'receivedBy', 'ranOn', 'from', 'trace', 'reason', 'digest'] as const),
  ...(['salt', 'sealed'] as const),
];

/**
 * Checks a value that was stored as a record. Returns `undefined` if it is none. The members that readers of a trail use have
 * their types then; others may have any.
 */
export function recordOf(value: unknown): AuditRecord | undefined {
  if (!isObject(value) || value.v !== 1) return undefined;
  if (!TEXTS.every((name) => typeof value[name] === 'string')) return undefined;
  if (!NUMBERS.every((name) => Number.isSafeInteger(value[name]))) return undefined;
  const isText = (name: string) => value[name] === undefined || typeof value[name] === 'string';
  if (!OPTIONAL_TEXTS.every(isText)) return undefined;
  if (value.message !== undefined && !isObject(value.message)) return undefined;
  return value as unknown as AuditRecord;
}

/** Parses the JSON text of a record. Returns `undefined` if it is none. */
export function parseRecord(text: string): AuditRecord | undefined {
  try {
    return recordOf(JSON.parse(text));
  } catch {
    return undefined;
  }
}
