/** Connections to PostgreSQL, each use of which ends in bounded time. */
import type Pg from 'pg';

/** What the audit trail needs of a `Pool` of the package `pg`. */
export interface PostgresPool {
  connect(): Promise<PostgresClient>;
}

/** What the audit trail needs of a `PoolClient` of the package `pg`. */
export interface PostgresClient {
  query(text: string, values?: unknown[]): Promise<{ rows: unknown[] }>;
  /** Gives the connection back to its pool, or closes it if `destroy` is true. */
  release(destroy?: boolean): void;
  on(event: 'error', listener: (error: Error) => void): unknown;
  removeListener(event: 'error', listener: (error: Error) => void): unknown;
}

export type PostgresRow = Record<string, string | null>;

/** A transaction that runs. Its rows have texts only, since each query casts what it selects to text. */
export type PostgresTransaction = (text: string, values?: unknown[]) => Promise<PostgresRow[]>;

interface TransactionOptions {
  readOnly?: boolean;
  /** How long one statement may take, and half of what the whole transaction may take. */
  statementMs: number;
}

const ROLLBACK_MS = 1_000;
/** The code of PostgreSQL's `insufficient_privilege`. */
const NO_RIGHTS = '42501';

/**
 * Runs transactions on the connections of a pool. It makes a pool of its own from a URL, with the package `pg`, when it first
 * needs one. It closes only such a pool.
 */
export class PostgresConnections {
  readonly #target: string | PostgresPool;
  #own: Promise<PostgresPool & { end(): Promise<void> }> | undefined;
  #closed = false;
  readonly #connectMs: number;

  constructor(target: string | PostgresPool, connectMs = 10_000) {
    this.#target = target;
    this.#connectMs = connectMs;
  }

  /**
   * Runs `work` in a transaction, and commits it. Rejects if PostgreSQL cannot be reached, refuses a statement, or does not
   * answer in time. Rejects with what `work` throws, and undoes the transaction then. A transaction whose commit was not
   * answered may have been committed.
   *
   * Nothing is set beyond the transaction. So it also works through a proxy that gives each transaction another connection.
   */
  async transaction<T>(
    options: TransactionOptions,
    work: (query: PostgresTransaction) => Promise<T>,
  ): Promise<T> {
    const client = await this.#connect();
    // Without a listener, an error of the connection would end the process. The query that waits rejects with the same error.
    const onError = (): void => undefined;
    client.on('error', onError);
    let isUsable = false;
    try {
      const result = await within(options.statementMs * 2, runTransaction(client, options, work));
      isUsable = true;
      return result;
    } catch (error) {
      // On a connection that is broken, or still waits for a statement, this fails.
      isUsable = await within(ROLLBACK_MS, client.query('ROLLBACK')).then(
        () => true,
        () => false,
      );
      throw error;
    } finally {
      // A connection that is closed can still report an error, so its listener stays.
      if (isUsable) client.removeListener('error', onError);
      client.release(!isUsable);
    }
  }

  /** Closes the connections of a pool of its own. Transactions reject from now on. */
  async close(): Promise<void> {
    this.#closed = true;
    const own = await this.#own?.catch(() => undefined);
    this.#own = undefined;
    await own?.end();
  }

  async #connect(): Promise<PostgresClient> {
    if (this.#closed) throw new Error('The audit trail in PostgreSQL is closed');
    const target = this.#target;
    const pool =
      typeof target === 'string' ? await (this.#own ??= openPool(target, this.#connectMs)) : target;
    let isWanted = true;
    const connecting = pool.connect().then(
      (client) => {
        // It came too late.
        if (!isWanted) client.release();
        return client;
      },
      (error: unknown) => {
        throw explained(error);
      },
    );
    return within(this.#connectMs, connecting).finally(() => {
      isWanted = false;
    });
  }
}

/**
 * Loads the package `pg`. Bundlers do not follow this, so an application without an audit trail in PostgreSQL can be bundled
 * without that package. A bundled application with one gives `postgresSink` a `Pool` of its own.
 */
async function loadDriver(): Promise<typeof Pg> {
  const name = 'pg';
  try {
    const loaded = (await import(/* webpackIgnore: true */ name)) as { default: typeof Pg };
    return loaded.default;
  } catch (error) {
    throw new Error(
      'An audit trail in PostgreSQL needs the package pg. Run: npm install pg. In a bundled application, give a Pool of pg instead of a URL',
      { cause: error },
    );
  }
}

async function openPool(
  url: string,
  connectMs: number,
): Promise<PostgresPool & { end(): Promise<void> }> {
  const pg = await loadDriver();
  const pool = new pg.Pool({
    connectionString: url,
    max: 2,
    connectionTimeoutMillis: connectMs,
    keepAlive: true,
    allowExitOnIdle: true,
    application_name: 'mcp-anynode audit',
  });
  // An idle connection has broken. The next transaction opens another one.
  pool.on('error', () => undefined);
  return pool;
}

async function runTransaction<T>(
  client: PostgresClient,
  { readOnly = false, statementMs }: TransactionOptions,
  work: (query: PostgresTransaction) => Promise<T>,
): Promise<T> {
  // A default of the database must not turn durability off. `local`, `remote_write` and `remote_apply` are left as they are.
  await ask(
    client,
    `BEGIN ISOLATION LEVEL READ COMMITTED ${readOnly ? 'READ ONLY' : 'READ WRITE'};
     SET LOCAL statement_timeout = ${statementMs};
     SET LOCAL TimeZone = 'UTC';
     SET LOCAL DateStyle = 'ISO';
     SELECT set_config('synchronous_commit', 'on', true)
      WHERE current_setting('synchronous_commit') = 'off'`,
  );
  const result = await work((text, values) => ask(client, text, values));
  await ask(client, 'COMMIT');
  return result;
}

async function ask(
  client: PostgresClient,
  text: string,
  values?: unknown[],
): Promise<PostgresRow[]> {
  try {
    const { rows } = await client.query(text, values);
    return rows as PostgresRow[];
  } catch (error) {
    throw explained(error);
  }
}

/** Rejects if the promise is not settled within `ms`. What it does later is ignored. */
async function within<T>(ms: number, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(explained(new Error(`no answer within ${ms} ms`))), ms);
    timer.unref();
  });
  try {
    return await Promise.race([promise, timeout]);
  } finally {
    clearTimeout(timer);
    promise.catch(() => undefined);
  }
}

/** Returns an error that says what is wrong. It has the same `code`, and never the URL, which has a password. */
function explained(error: unknown): Error {
  const { code, severity, errors } = error as {
    code?: string;
    severity?: string;
    errors?: unknown[];
  };
  // For a host with several addresses, Node reports an error for each, and a text for none.
  const first = errors?.[0] ?? error;
  const detail = (first instanceof Error && first.message) || code || String(first);
  const what =
    severity === 'ERROR'
      ? 'PostgreSQL refused a statement of the audit trail'
      : 'The audit trail in PostgreSQL cannot be reached';
  const hint =
    code === NO_RIGHTS ? '. The user has to own the tables, or be allowed to create them' : '';
  return Object.assign(new Error(`${what}: ${detail}${hint}`, { cause: error }), code && { code });
}
