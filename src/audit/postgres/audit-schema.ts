/** The tables of an audit trail in PostgreSQL, and their versions. */
import type { PostgresConnections, PostgresTransaction } from './postgres-connections.js';

/** Where the tables are. All names but the first are quoted, for use in SQL. */
export interface AuditTables {
  schemaName: string;
  schema: string;
  records: string;
  migrations: string;
}

export const SCHEMA_MS = 30_000;
/** The advisory lock of those who change tables. Nothing else in the database must use this number. */
export const SCHEMA_LOCK = '7885630523774169193';

export function auditTables(schema = 'public'): AuditTables {
  if (schema === '' || schema.includes('\0')) {
    throw new TypeError(`schema has to be the name of a schema in PostgreSQL, not '${schema}'`);
  }
  const quoted = `"${schema.replaceAll('"', '""')}"`;
  return {
    schemaName: schema,
    schema: quoted,
    records: `${quoted}.mcp_audit_records`,
    migrations: `${quoted}.mcp_audit_migrations`,
  };
}

/** Each migration leads from the version before to its own. One that was released never changes. */
const MIGRATIONS: readonly ((tables: AuditTables) => string)[] = [
  // Texts are compared by their bytes: that is fast, and no update of the system's locales changes an index.
  // `rest` is what the other columns do not tell exactly. `message` is the JSON text that the digest covers.
  ({ records }) => `
    CREATE TABLE ${records} (
      at timestamptz NOT NULL,
      hash text COLLATE "C" NOT NULL,
      v smallint,
      session text COLLATE "C",
      chain text COLLATE "C",
      seq bigint,
      ordinal bigint NOT NULL,
      outbox text,
      log_id text,
      type text,
      principal text COLLATE "C",
      client text,
      protocol text,
      direction text,
      stream text,
      method text,
      tool text COLLATE "C",
      request_id text,
      outcome text,
      duration_ms bigint,
      received_by text,
      ran_on text,
      bytes bigint,
      digest text,
      previous text,
      erased boolean,
      rest json,
      salt text,
      message text,
      sealed text,
      PRIMARY KEY (at, hash)
    ) PARTITION BY RANGE (at);
    CREATE INDEX ON ${records} (session, at, chain, seq);
    CREATE INDEX ON ${records} (principal, at);
    CREATE INDEX ON ${records} (tool, at) WHERE tool IS NOT NULL;`,
];

/** Makes the tables, or brings them to the version that this release knows. Several processes can do it at the same time. */
export async function migrate(
  connections: PostgresConnections,
  tables: AuditTables,
): Promise<void> {
  await connections.transaction({ statementMs: SCHEMA_MS }, async (query) => {
    if ((await storedVersion(query, tables)) === MIGRATIONS.length) return;
    await query(`SELECT pg_advisory_xact_lock(${SCHEMA_LOCK})`);
    const version = await storedVersion(query, tables);
    if (version === 0) await createMigrations(query, tables);
    for (const [index, sql] of MIGRATIONS.entries()) {
      if (index < version) continue;
      await query(sql(tables));
      await query(`INSERT INTO ${tables.migrations} (version) VALUES ($1)`, [index + 1]);
    }
  });
}

/** Throws if the tables are not there, or if this release cannot read them. Needs the right to read only. */
export async function checkVersion(query: PostgresTransaction, tables: AuditTables): Promise<void> {
  const version = await storedVersion(query, tables);
  if (version === MIGRATIONS.length) return;
  throw new Error(
    version === 0
      ? `There is no audit trail in the schema ${tables.schema} of this database`
      : `The tables of the audit trail have version ${version}, and this release needs ${MIGRATIONS.length}. ` +
          'An archiver of this release brings them to it',
  );
}

/** Returns the version of the tables, and 0 if there are none. Throws if a newer release has made them. */
async function storedVersion(query: PostgresTransaction, tables: AuditTables): Promise<number> {
  if (!(await tableExists(query, tables, 'mcp_audit_migrations'))) return 0;
  const [row] = await query(`SELECT max(version)::text AS version FROM ${tables.migrations}`);
  const version = Number(row?.['version'] ?? 0);
  if (version > MIGRATIONS.length) {
    throw new Error(
      `The tables of the audit trail have version ${version}. This release knows versions up to ` +
        `${MIGRATIONS.length}. Use the release that has written the trail, or a newer one`,
    );
  }
  return version;
}

/**
 * Returns whether the schema has a table of this name. `to_regclass` would do the same from a cache, which does not notice what
 * others committed while this transaction waited for the advisory lock.
 */
export async function tableExists(
  query: PostgresTransaction,
  { schemaName }: AuditTables,
  table: string,
): Promise<boolean> {
  const rows = await query(
    `SELECT c.relname::text AS name FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
     WHERE n.nspname = $1 AND c.relname = $2`,
    [schemaName, table],
  );
  return rows.length > 0;
}

async function createMigrations(query: PostgresTransaction, tables: AuditTables): Promise<void> {
  const [row] = await query(
    `SELECT current_setting('server_encoding') AS encoding,
       (SELECT nspname::text FROM pg_namespace WHERE nspname = $1) AS schema`,
    [tables.schemaName],
  );
  if (row?.['encoding'] !== 'UTF8') {
    throw new Error(
      `The audit trail needs a database with the encoding UTF8. This one has ${String(row?.['encoding'])}`,
    );
  }
  if (row['schema'] === null) {
    await query(`CREATE SCHEMA ${tables.schema}`);
  }
  await query(
    `CREATE TABLE ${tables.migrations} (
       version integer PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())`,
  );
}
