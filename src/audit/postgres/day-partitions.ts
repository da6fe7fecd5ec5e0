/**
 * The partitions of the table of records: one for each day, by UTC, named after it. An operator removes old days by hand; see
 * `docs/how-to/keep-an-audit-trail.md`.
 */
import { type AuditTables, SCHEMA_LOCK, SCHEMA_MS, tableExists } from './audit-schema.js';
import type { PostgresConnections, PostgresTransaction } from './postgres-connections.js';
import { DAY_MS } from './record-rows.js';

/**
 * Makes the partition of a day, which is given by its start in milliseconds since the epoch, if it is missing. Several processes
 * can do it at the same time.
 */
export async function createDay(
  connections: PostgresConnections,
  tables: AuditTables,
  day: number,
): Promise<void> {
  await connections.transaction({ statementMs: SCHEMA_MS }, async (query) => {
    await query(`SELECT pg_advisory_xact_lock(${SCHEMA_LOCK})`);
    const ranges = await storedRanges(query, tables);
    if (ranges.some(({ from, until }) => from <= day && day < until)) return;
    const name = `mcp_audit_records_${isoDay(day).replaceAll('-', '')}`;
    const partition = `${tables.schema}.${await freeName(query, tables, name)}`;
    // `CREATE TABLE … PARTITION OF` would lock out readers of all days. To attach a table does not.
    await query(`CREATE TABLE ${partition} (LIKE ${tables.records} INCLUDING ALL)`);
    await query(
      `ALTER TABLE ${tables.records} ATTACH PARTITION ${partition}
       FOR VALUES FROM ('${isoDay(day)}T00:00Z') TO ('${isoDay(day + DAY_MS)}T00:00Z')`,
    );
  });
}

/** Returns the name with a number, if the operator has detached a table of the name itself, and not dropped it. */
async function freeName(
  query: PostgresTransaction,
  tables: AuditTables,
  name: string,
): Promise<string> {
  for (let number = 1; ; number++) {
    const candidate = number === 1 ? name : `${name}_${number}`;
    if (!(await tableExists(query, tables, candidate))) return candidate;
  }
}

function isoDay(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10);
}

/** A time that one partition covers, in milliseconds since the epoch. */
export interface PartitionRange {
  from: number;
  until: number;
}

const BOUNDS = /^FOR VALUES FROM \('([^']*)'\) TO \('([^']*)'\)$/;

/** Returns the times that the partitions cover, in their order. An operator may have joined days into larger partitions. */
export async function storedRanges(
  query: PostgresTransaction,
  tables: AuditTables,
): Promise<PartitionRange[]> {
  const rows = await query(
    `SELECT c.relname::text AS name, pg_get_expr(c.relpartbound, c.oid) AS bounds
     FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
     WHERE i.inhparent = $1::regclass`,
    [tables.records],
  );
  return rows
    .map(({ name, bounds }) => {
      const [, from = '', until = ''] = BOUNDS.exec(bounds ?? '') ?? [];
      const range = { from: Date.parse(from), until: Date.parse(until) };
      if (Number.isNaN(range.from) || Number.isNaN(range.until)) {
        throw new Error(`The partition ${String(name)} of the audit trail covers no range of time`);
      }
      return range;
    })
    .sort((a, b) => a.from - b.from);
}
