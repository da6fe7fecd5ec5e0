/** Reads and erases an audit trail in PostgreSQL. */
import type { AuditRecord } from '../record.js';
import type { OnUnreadable, Trail, TrailQuery } from '../reading/trail.js';
import { type AuditTables, auditTables, checkVersion } from './audit-schema.js';
import { type PartitionRange, storedRanges } from './day-partitions.js';
import {
  PostgresConnections,
  type PostgresPool,
  type PostgresTransaction,
} from './postgres-connections.js';
import type { PostgresOptions } from './postgres-sink.js';
import { columnText, recordOfRow, SELECTED } from './record-rows.js';

/** A condition without an index may have to look at all records of a day to fill a page. */
const READ_MS = 600_000;
const ERASE_MS = 60_000;
/** How many partitions one statement looks at, if it can use an index: most of them have nothing then. */
const DAYS_TOGETHER = 16;
const PAGE_ROWS = 1_000;
const PAGE_BYTES = 8 * 1024 * 1024;

/**
 * Reads the audit trail that `postgresSink` has stored. `target` and `options` are the same. To read, the user needs the right to
 * `SELECT`; to erase, also the right to `UPDATE`.
 *
 * Records come by their time. No connection is held between two pages of at most 1,000 records, or about 8 MiB.
 *
 * An erased message is gone for all readers at once. Its bytes are in the files of PostgreSQL until a `VACUUM`, and in backups.
 */
export function postgresTrail(target: string | PostgresPool, options: PostgresOptions = {}): Trail {
  return new PostgresTrail(new PostgresConnections(target), auditTables(options.schema));
}

/** The place of a record in the order of reading: time, number in its outbox, hash. */
type RecordPlace = readonly [at: string, ordinal: string, hash: string];

class PostgresTrail implements Trail {
  readonly #connections: PostgresConnections;
  readonly #tables: AuditTables;

  constructor(connections: PostgresConnections, tables: AuditTables) {
    this.#connections = connections;
    this.#tables = tables;
  }

  async *records(
    query: TrailQuery = {},
    onUnreadable: OnUnreadable = () => undefined,
  ): AsyncGenerator<AuditRecord> {
    for (const range of await this.#ranges(query)) {
      let after: RecordPlace | undefined;
      do {
        const { text, values } = pageStatement(this.#tables, query, range, after);
        const rows = await this.#read((run) => run(text, values));
        for (const row of rows) {
          const record = recordOfRow(row);
          if (record) yield record;
          else
            onUnreadable(`the row of ${String(row['place'])} with the hash ${String(row['hash'])}`);
        }
        const last = rows.at(-1);
        after = last && [String(last['place']), String(last['ordinal']), String(last['hash'])];
      } while (after !== undefined);
    }
  }

  async erase(principal: string | null): Promise<number> {
    let erased = 0;
    for (const range of await this.#ranges({ principal })) {
      let after: string[] = [];
      for (;;) {
        const { text, values } = eraseStatement(this.#tables, principal, range, after);
        const [row] = await this.#connections.transaction({ statementMs: ERASE_MS }, (run) =>
          run(text, values),
        );
        erased += Number(row?.['erased'] ?? 0);
        if (typeof row?.['place'] !== 'string' || typeof row['hash'] !== 'string') break;
        after = [row['place'], row['hash']];
      }
    }
    return erased;
  }

  async close(): Promise<void> {
    await this.#connections.close();
  }

  #read<T>(work: (run: PostgresTransaction) => Promise<T>): Promise<T> {
    return this.#connections.transaction({ readOnly: true, statementMs: READ_MS }, work);
  }

  /** Returns the ranges to read one after the other. They have all partitions that can have matching records. */
  async #ranges(query: TrailQuery): Promise<PartitionRange[]> {
    const stored = await this.#read(async (run) => {
      await checkVersion(run, this.#tables);
      return storedRanges(run, this.#tables);
    });
    const from = Math.ceil(query.from ?? -Infinity);
    const until = Math.ceil(query.until ?? Infinity);
    const cut = stored
      .map((range) => ({ from: Math.max(range.from, from), until: Math.min(range.until, until) }))
      .filter((range) => range.from < range.until);
    const hasIndex = [query.session, query.principal, query.tool].some((it) => it !== undefined);
    return joinRanges(cut, hasIndex ? DAYS_TOGETHER : 1);
  }
}

/** Joins each `count` ranges to one. */
function joinRanges(ranges: readonly PartitionRange[], count: number): PartitionRange[] {
  return ranges
    .filter((_, index) => index % count === 0)
    .map(({ from }, index) => {
      const last = ranges[Math.min((index + 1) * count, ranges.length) - 1];
      return { from, until: last?.until ?? from };
    });
}

/**
 * Returns the statement that reads a page from the partitions of a range. PostgreSQL plans it with the times at hand, and touches
 * and locks no others: a statement over years of days would need more locks than a server has.
 */
export function pageStatement(
  tables: AuditTables,
  query: TrailQuery,
  range: PartitionRange,
  after?: RecordPlace,
): { text: string; values: unknown[] } {
  const values: unknown[] = [];
  const add = (value: unknown): string => `$${values.push(value)}`;
  const conditions = inRange(range, add);
  const { principal } = query;
  if (principal !== undefined) conditions.push(ofPrincipal(principal, add));
  for (const column of ['session', 'tool', 'method', 'outcome'] as const) {
    const wanted = query[column];
    if (wanted !== undefined) conditions.push(`${column} = ${add(columnText(wanted))}`);
  }
  if (after) {
    const [at, ordinal, hash] = after;
    conditions.push(
      `(at, ordinal, hash) > (${add(at)}::timestamptz, ${add(ordinal)}::bigint, ${add(hash)})`,
    );
  }
  // PostgreSQL knows the sizes without reading the messages. The page ends with the record that makes it too large.
  const text = `
    WITH page AS (
      SELECT *, sum(coalesce(octet_length(message), octet_length(sealed), 0) + 1000)
        OVER (ORDER BY at, ordinal, hash) AS sizes
      FROM (
        SELECT * FROM ${tables.records} WHERE ${conditions.join(' AND ')}
        ORDER BY at, ordinal, hash LIMIT ${PAGE_ROWS}
      ) AS first)
    SELECT ${SELECTED} FROM page
    WHERE sizes - coalesce(octet_length(message), octet_length(sealed), 0) < ${PAGE_BYTES}
    ORDER BY page.at, page.ordinal, page.hash`;
  return { text, values };
}

/** Returns the statement that erases the next records of a principal in one partition, and returns where it has arrived. */
function eraseStatement(
  tables: AuditTables,
  principal: string | null,
  range: PartitionRange,
  [afterAt, afterHash]: string[],
): { text: string; values: unknown[] } {
  const values: unknown[] = [];
  const add = (value: unknown): string => `$${values.push(value)}`;
  const conditions = [...inRange(range, add), ofPrincipal(principal, add)];
  conditions.push('num_nonnulls(salt, message, sealed) > 0');
  if (afterAt !== undefined) {
    conditions.push(`(at, hash) > (${add(afterAt)}::timestamptz, ${add(afterHash)})`);
  }
  const text = `
    WITH page AS (
      SELECT at, hash FROM ${tables.records} WHERE ${conditions.join(' AND ')}
      ORDER BY at, hash LIMIT ${PAGE_ROWS}),
    done AS (
      UPDATE ${tables.records} AS r SET salt = NULL, message = NULL, sealed = NULL, erased = true
      FROM page WHERE r.at = page.at AND r.hash = page.hash AND ${inRange(range, add, 'r.').join(' AND ')}
      RETURNING r.hash),
    last AS (SELECT at, hash FROM page ORDER BY at DESC, hash DESC LIMIT 1)
    SELECT (SELECT count(*) FROM done)::text AS erased, hash, at::text AS place FROM last`;
  return { text, values };
}

type AddValue = (value: unknown) => string;

function inRange({ from, until }: PartitionRange, add: AddValue, table = ''): string[] {
  return [
    `${table}at >= ${add(isoTime(from))}::timestamptz`,
    `${table}at < ${add(isoTime(until))}::timestamptz`,
  ];
}

function ofPrincipal(principal: string | null, add: AddValue): string {
  return principal === null ? 'principal IS NULL' : `principal = ${add(columnText(principal))}`;
}

function isoTime(ms: number): string {
  return new Date(ms).toISOString();
}
