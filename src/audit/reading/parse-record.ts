import { exceededBy } from '../../protocol/json/json-shape.js';
import { isObject } from '../../protocol/json/jsonrpc.js';
import type { AuditRecord } from '../record.js';

const TEXTS = ['session', 'chain', 'outbox', 'logId', 'type', 'previous', 'hash'] as const;
const NUMBERS = ['seq', 'ordinal', 'at'] as const;
const OPTIONAL_TEXTS = [
  ...(['principal', 'client', 'protocol', 'direction', 'stream', 'method', 'tool'] as const),
  ...(['outcome', 'receivedBy', 'ranOn', 'from', 'trace', 'reason', 'digest'] as const),
  ...(['salt', 'sealed'] as const),
];
const OPTIONAL_NUMBERS = ['durationMs', 'skipped', 'bytes'] as const;
/** An archiver keeps no message of more than 2,000 levels. With many more, `JSON.stringify` overflows the stack. */
const DEEPEST = 2_100;

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
  const isNumber = (name: string) => value[name] === undefined || Number.isFinite(value[name]);
  if (!OPTIONAL_NUMBERS.every(isNumber)) return undefined;
  const { message, missing, requestId, shownBy } = value;
  if (message !== undefined && !isObject(message)) return undefined;
  if (missing !== undefined && !(isObject(missing) && isCount(missing.entries))) return undefined;
  if (!['undefined', 'string', 'number'].includes(typeof requestId)) return undefined;
  if (!['undefined', 'string'].includes(typeof shownBy) && shownBy !== null) return undefined;
  return value as unknown as AuditRecord;
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/** Parses the JSON text of a record. Returns `undefined` if it is none. */
export function parseRecord(text: string): AuditRecord | undefined {
  try {
    return recordOf(parseShallow(text));
  } catch {
    return undefined;
  }
}

/** Parses a JSON text that can be written again. Throws for any other. */
export function parseShallow(text: string): unknown {
  if (exceededBy(text, { depth: DEEPEST, values: Infinity }) !== undefined) {
    throw new TypeError('mcp-anynode: the JSON is nested too deep');
  }
  return JSON.parse(text);
}
