/** A sink of the audit trail in PostgreSQL. */
import type { AuditRecord, AuditSink } from '../record.js';
import { type AuditTables, auditTables, migrate } from './audit-schema.js';
import { createDay } from './day-partitions.js';
import { PostgresConnections, type PostgresPool } from './postgres-connections.js';
import {
  type RecordRow,
  rowOfRecord,
  WRITTEN_NAMES,
  WRITTEN_TYPES,
  WRITTEN_VALUES,
} from './record-rows.js';

export interface PostgresOptions {
  /** The schema with the tables. It is created if it does not exist. Default: `public`. */
  schema?: string;
}

const WRITE_MS = 30_000;
const MOST_ROWS = 1_000;
const MOST_CHARACTERS = 8 * 1024 * 1024;
/** A statement locks each partition that it writes to, and a server has a limit for all locks. */
const MOST_DAYS = 16;
const MOST_KNOWN_DAYS = 1_000;

/**
 * Stores the audit trail in PostgreSQL, from version 13 on, in the table `mcp_audit_records`. The table has a partition for each
 * day. The first `write` makes the tables. The user has to own them, or be allowed to create them.
 *
 * `target` is a URL (`postgres://user:password@host/database`), which needs the package `pg`; or a `Pool` of that package, which
 * `close` leaves open.
 *
 * `write` resolves when PostgreSQL has committed the records, also if the database has `synchronous_commit` off by default. It
 * rejects if PostgreSQL cannot be reached, refuses, or takes more than a minute for one of the statements. It stores up to
 * 1,000 records or about 8 MiB with one statement.
 */
export function postgresSink(
  target: string | PostgresPool,
  options: PostgresOptions = {},
): AuditSink {
  return new PostgresSink(new PostgresConnections(target), auditTables(options.schema));
}

class PostgresSink implements AuditSink {
  readonly #connections: PostgresConnections;
  readonly #tables: AuditTables;
  #isMigrated = false;
  readonly #days = new Set<number>();

  constructor(connections: PostgresConnections, tables: AuditTables) {
    this.#connections = connections;
    this.#tables = tables;
  }

  async write(records: readonly AuditRecord[]): Promise<void> {
    if (!this.#isMigrated) await migrate(this.#connections, this.#tables);
    this.#isMigrated = true;
    for (const rows of batches(records)) await this.#insert(rows);
  }

  async close(): Promise<void> {
    await this.#connections.close();
  }

  async #insert(rows: readonly RecordRow[]): Promise<void> {
    const days = [...new Set(rows.map(({ day }) => day))];
    // All who write insert in the same order, so that none waits for another in a circle.
    const sorted = [...rows].sort((a, b) => (a.hash < b.hash ? -1 : 1));
    const json = `[${sorted.map((row) => row.json).join(',')}]`;
    for (let attempt = 1; ; attempt++) {
      await this.#ensureDays(days);
      try {
        await this.#connections.transaction({ statementMs: WRITE_MS }, (query) =>
          query(
            `INSERT INTO ${this.#tables.records} (${WRITTEN_NAMES})
             SELECT ${WRITTEN_VALUES} FROM json_to_recordset($1::json) AS r (${WRITTEN_TYPES})
             ON CONFLICT DO NOTHING`,
            [json],
          ),
        );
        return;
      } catch (error) {
        // There is no partition for a row: it was dropped after this sink had seen it.
        if ((error as { code?: string }).code !== '23514' || attempt > 1) throw error;
        this.#days.clear();
      }
    }
  }

  async #ensureDays(days: readonly number[]): Promise<void> {
    for (const day of days) {
      if (this.#days.has(day)) continue;
      await createDay(this.#connections, this.#tables, day);
      if (this.#days.size >= MOST_KNOWN_DAYS) this.#days.clear();
      this.#days.add(day);
    }
  }
}

function* batches(records: readonly AuditRecord[]): Generator<RecordRow[]> {
  let rows: RecordRow[] = [];
  let days = new Set<number>();
  let characters = 0;
  for (const record of records) {
    const row = rowOfRecord(record);
    days.add(row.day);
    characters += row.json.length;
    const isTooMuch =
      rows.length === MOST_ROWS || days.size > MOST_DAYS || characters > MOST_CHARACTERS;
    if (isTooMuch && rows.length > 0) {
      yield rows;
      rows = [];
      days = new Set([row.day]);
      characters = row.json.length;
    }
    rows.push(row);
  }
  if (rows.length > 0) yield rows;
}
