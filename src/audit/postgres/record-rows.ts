/**
 * Audit records as rows of a table, without a loss.
 *
 * PostgreSQL's texts cannot have the character U+0000 or half a surrogate pair, and its indexes cannot have long texts. Records
 * have both, since clients choose names. So a column has a text that can be stored and found, and what the columns do not tell
 * exactly is in the column `rest`, as JSON.
 */
import { createHash } from 'node:crypto';
import { textOf } from '../chain.js';
import { parseShallow, recordOf } from '../reading/parse-record.js';
import type { AuditRecord } from '../record.js';
import type { PostgresRow } from './postgres-connections.js';

type Field = keyof AuditRecord;
type ColumnType = 'text' | 'bigint' | 'boolean' | 'json text';
type ColumnValue = string | number | boolean;

/** The columns that tell a field of the record. The names are those of the fields, as SQL writes them. */
const COLUMNS: readonly (readonly [field: Field, column: string, type: ColumnType])[] = [
  ['hash', 'hash', 'text'],
  ['v', 'v', 'bigint'],
  ['session', 'session', 'text'],
  ['chain', 'chain', 'text'],
  ['seq', 'seq', 'bigint'],
  ['ordinal', 'ordinal', 'bigint'],
  ['outbox', 'outbox', 'text'],
  ['logId', 'log_id', 'text'],
  ['type', 'type', 'text'],
  ['principal', 'principal', 'text'],
  ['client', 'client', 'text'],
  ['protocol', 'protocol', 'text'],
  ['direction', 'direction', 'text'],
  ['stream', 'stream', 'text'],
  ['method', 'method', 'text'],
  ['tool', 'tool', 'text'],
  ['requestId', 'request_id', 'json text'],
  ['outcome', 'outcome', 'text'],
  ['durationMs', 'duration_ms', 'bigint'],
  ['receivedBy', 'received_by', 'text'],
  ['ranOn', 'ran_on', 'text'],
  ['bytes', 'bytes', 'bigint'],
  ['digest', 'digest', 'text'],
  ['previous', 'previous', 'text'],
  ['erased', 'erased', 'boolean'],
];

/** The columns with what `erase` removes. They are never in `rest`. */
const PAYLOAD = ['salt', 'message', 'sealed'] as const;

/** Each column that a row is written with, with its type in SQL. */
const WRITTEN: readonly (readonly [column: string, type: string])[] = [
  ['at', 'timestamptz'],
  ...COLUMNS.map(([, column, type]) => [column, type === 'json text' ? 'text' : type] as const),
  ['rest', 'text'],
  ...PAYLOAD.map((column) => [column, 'text'] as const),
];

/** The columns, and what a statement selects for them from JSON objects whose columns have the types of `WRITTEN_TYPES`. */
export const WRITTEN_NAMES = WRITTEN.map(([column]) => column).join(', ');
export const WRITTEN_TYPES = WRITTEN.map(([column, type]) => `${column} ${type}`).join(', ');
/** As JSON inside of JSON, `rest` would be refused if it has half a surrogate pair. As a text in JSON it is not. */
export const WRITTEN_VALUES = WRITTEN_NAMES.replace('rest', 'rest::json');

/**
 * A list of what to select, for `recordOfRow`. Each is cast to text, because an application can change how `pg` reads other
 * types. `place` is the time as PostgreSQL writes it.
 */
export const SELECTED = WRITTEN.map(([column]) =>
  column === 'at'
    ? `(extract(epoch from at) * 1000)::text AS at, at::text AS place`
    : `${column}::text AS ${column}`,
).join(', ');

export interface RecordRow {
  /** The start of the record's day, in milliseconds since the epoch. */
  day: number;
  hash: string;
  /** The row as a JSON object. */
  json: string;
}

export const DAY_MS = 86_400_000;
const LATEST_MS = Date.UTC(9999, 11, 31) - 1;

/** Returns the time of the record that its column has: whole milliseconds of a year that PostgreSQL can store. */
function columnTime(at: number): number {
  return Number.isFinite(at) ? Math.min(Math.max(Math.floor(at), 0), LATEST_MS) : 0;
}

export function rowOfRecord(record: AuditRecord): RecordRow {
  const { message, sealed, salt, ...told } = record;
  const row: Record<string, ColumnValue> = {};
  const at = columnTime(record.at);
  row['at'] = new Date(at).toISOString();
  const exact = new Set<string>(at === record.at ? ['at'] : []);
  for (const [field, column, type] of COLUMNS) {
    const original: unknown = told[field as keyof typeof told];
    const value = encodeColumn(original, type);
    if (value === undefined) continue;
    row[column] = value;
    if (decodeColumn(String(value), type) === original) exact.add(field);
  }
  // The order of reading compares it, so it is never null.
  row['ordinal'] ??= 0;
  const rest = Object.entries(told).filter(([field]) => !exact.has(field));
  if (rest.length > 0) row['rest'] = JSON.stringify(Object.fromEntries(rest));
  if (message !== undefined) row['message'] = textOf(message);
  if (sealed !== undefined) row['sealed'] = toStorable(sealed);
  if (salt !== undefined) row['salt'] = toStorable(salt);
  return { day: at - (at % DAY_MS), hash: String(row['hash']), json: JSON.stringify(row) };
}

/** Returns `undefined` for a row that is no record any more, because it was changed by hand. */
export function recordOfRow(row: PostgresRow): AuditRecord | undefined {
  try {
    return recordOf(valueOfRow(row));
  } catch {
    return undefined;
  }
}

function valueOfRow(row: PostgresRow): Record<string, unknown> {
  const record: Record<string, unknown> = { at: Number(row['at']) };
  for (const [field, column, type] of COLUMNS) {
    const text = row[column];
    if (typeof text === 'string') record[field] = decodeColumn(text, type);
  }
  if (record['erased'] === false) delete record['erased'];
  if (typeof row['rest'] === 'string') Object.assign(record, parseShallow(row['rest']));
  if (typeof row['message'] === 'string') record['message'] = parseShallow(row['message']);
  if (typeof row['sealed'] === 'string') record['sealed'] = fromStorable(row['sealed']);
  if (typeof row['salt'] === 'string') record['salt'] = fromStorable(row['salt']);
  return record;
}

function encodeColumn(value: unknown, type: ColumnType): ColumnValue | undefined {
  switch (type) {
    case 'text':
      return typeof value === 'string' ? columnText(value) : undefined;
    case 'json text':
      return value === undefined ? undefined : columnText(JSON.stringify(value));
    case 'bigint':
      return Number.isSafeInteger(value) ? (value as number) : undefined;
    case 'boolean':
      return typeof value === 'boolean' ? value : undefined;
  }
}

function decodeColumn(text: string, type: ColumnType): unknown {
  switch (type) {
    case 'text':
      return text;
    case 'json text':
      return text.includes(CUT) ? undefined : JSON.parse(text);
    case 'bigint':
      return Number(text);
    case 'boolean':
      return text === 'true';
  }
}

const LONGEST = 255;
/** Marks a text that stands for another one. */
const CUT = '…sha256:';
const HALF_PAIR = /\p{Surrogate}/gu;

/**
 * Returns the text that a column has for a text of a record: the same one, if it is short and can be stored. For any other
 * text: its beginning, and its hash. Different texts give different ones, so a comparison of columns finds exactly the records
 * that have the text.
 */
export function columnText(text: string): string {
  if (text.length <= LONGEST && isStorable(text) && !text.includes(CUT)) return text;
  // JSON escapes half a surrogate pair, so that texts that differ in one do not have the same hash.
  const hash = createHash('sha256').update(JSON.stringify(text)).digest('hex');
  const beginning = text.slice(0, 100).replaceAll('\0', '\ufffd').replace(HALF_PAIR, '\ufffd');
  return `${beginning}${CUT}${hash}`;
}

function isStorable(text: string): boolean {
  return !text.includes('\0') && text.search(HALF_PAIR) === -1;
}

/** Returns the text as it is, or as JSON if PostgreSQL cannot store it. */
function toStorable(text: string): string {
  return isStorable(text) && !text.startsWith('"') ? text : JSON.stringify(text);
}

function fromStorable(text: string): string {
  return text.startsWith('"') ? (JSON.parse(text) as string) : text;
}
