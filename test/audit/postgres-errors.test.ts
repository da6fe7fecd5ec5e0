import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import pg from 'pg';
import { afterAll, beforeAll, expect, it, onTestFinished, vi } from 'vitest';
import { PostgresConnections } from '../../src/audit/postgres/postgres-connections.js';
import { postgresSink } from '../../src/audit/postgres/postgres-sink.js';
import { postgresTrail } from '../../src/audit/postgres/postgres-trail.js';
import type { AuditSink } from '../../src/audit/record.js';
import { freePort } from '../rig/ports.js';
import { queryPostgres, startPostgres, type PostgresServer } from '../rig/postgres.js';
import { makeChain, readAll } from './support/postgres-records.js';

let server: PostgresServer;
beforeAll(async () => {
  server = await startPostgres();
});
afterAll(() => server.stop());

const chain = makeChain('s1', [{}, {}, {}]);

function openSink(...args: Parameters<typeof postgresSink>): AuditSink {
  const sink = postgresSink(...args);
  onTestFinished(() => sink.close?.());
  return sink;
}

function changed(url: string, change: Partial<URL>): string {
  return Object.assign(new URL(url), change).href;
}

it('says that the package pg is not installed', async () => {
  vi.doMock('pg', () => {
    throw new Error("Cannot find package 'pg'");
  });
  onTestFinished(() => {
    vi.doUnmock('pg');
  });
  await expect(openSink(server.url).write(chain)).rejects.toThrow(
    'An audit trail in PostgreSQL needs the package pg. Run: npm install pg',
  );
});

it('says that there is no server', async () => {
  const port = String(await freePort());
  for (const hostname of ['127.0.0.1', 'localhost']) {
    const sink = openSink(changed(server.url, { port, hostname }));
    await expect(sink.write(chain)).rejects.toThrow(/cannot be reached: connect ECONNREFUSED/);
  }
});

it('says that the password is wrong, without the password', async () => {
  const sink = openSink(changed(server.url, { password: 'hunter2' }));
  const error: unknown = await sink.write(chain).catch((error: unknown) => error);
  expect(String(error)).toMatch(
    /cannot be reached: password authentication failed for user "postgres"/,
  );
  expect(String(error)).not.toContain('hunter2');
});

it('says which right is missing', async () => {
  const url = await server.createDatabase();
  await queryPostgres(url, "CREATE ROLE clerk LOGIN PASSWORD 'secret'");
  const clerk = changed(url, { username: 'clerk' });
  await expect(openSink(clerk).write(chain)).rejects.toThrow(
    /permission denied for schema public. The user has to own the tables, or be allowed to create them/,
  );
  await expect(openSink(clerk, { schema: 'new' }).write(chain)).rejects.toThrow(
    /permission denied for database/,
  );

  await openSink(url).write(chain);
  const trail = postgresTrail(clerk);
  onTestFinished(() => trail.close());
  await expect(readAll(trail)).rejects.toThrow(/permission denied for table mcp_audit_migrations/);
  await queryPostgres(url, 'GRANT SELECT ON mcp_audit_migrations, mcp_audit_records TO clerk');
  expect(await readAll(trail)).toEqual(chain);
  await expect(trail.erase('alice')).rejects.toThrow(
    /permission denied for table mcp_audit_records/,
  );
});

it('says that a database has no audit trail, or another encoding', async () => {
  const url = await server.createDatabase();
  const trail = postgresTrail(url);
  onTestFinished(() => trail.close());
  await expect(readAll(trail)).rejects.toThrow(
    'There is no audit trail in the schema "public" of this database',
  );
  await queryPostgres(url, "CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0");
  await expect(openSink(changed(url, { pathname: '/latin' })).write(chain)).rejects.toThrow(
    'The audit trail needs a database with the encoding UTF8. This one has LATIN1',
  );
});

it('refuses a schema without a name', () => {
  expect(() => postgresSink(server.url, { schema: '' })).toThrow(TypeError);
});

it('rejects in bounded time if the server accepts the connection and says nothing', async () => {
  const silent = createServer().listen(0, '127.0.0.1');
  await once(silent, 'listening');
  const { port } = silent.address() as AddressInfo;
  const connections = new PostgresConnections(changed(server.url, { port: String(port) }), 200);
  const startedAt = performance.now();
  await expect(
    connections.transaction({ statementMs: 1_000 }, (query) => query('SELECT 1')),
  ).rejects.toThrow(/The audit trail in PostgreSQL cannot be reached/);
  expect(performance.now() - startedAt).toBeLessThan(5_000);
  await connections.close();
  silent.close();
});

it('rejects in bounded time if a statement takes too long, and goes on with the connection', async () => {
  const pool = new pg.Pool({ connectionString: server.url, max: 1 });
  onTestFinished(() => pool.end());
  const connections = new PostgresConnections(pool);
  const pid = () =>
    connections.transaction({ statementMs: 5_000 }, (query) =>
      query('SELECT pg_backend_pid()::text AS pid'),
    );
  const before = await pid();
  await expect(
    connections.transaction({ statementMs: 100 }, (query) => query('SELECT pg_sleep(60)')),
  ).rejects.toThrow(/canceling statement due to statement timeout/);
  expect(await pid()).toEqual(before);
});

it('rejects in bounded time if the server does not answer any more, and takes another connection', async () => {
  const connections = new PostgresConnections(server.url);
  onTestFinished(() => connections.close());
  let pid = 0;
  const startedAt = performance.now();
  const silent = connections.transaction({ statementMs: 100 }, async (query) => {
    const [row] = await query('SELECT pg_backend_pid()::text AS pid');
    pid = Number(row?.['pid']);
    process.kill(pid, 'SIGSTOP');
    return query('SELECT 1');
  });
  await expect(silent).rejects.toThrow(/cannot be reached: no answer within 200 ms/);
  expect(performance.now() - startedAt).toBeLessThan(5_000);
  const [row] = await connections.transaction({ statementMs: 5_000 }, (query) =>
    query('SELECT pg_backend_pid()::text AS pid'),
  );
  expect(Number(row?.['pid'])).not.toBe(pid);
  process.kill(pid, 'SIGCONT');
});

it('undoes a transaction whose work throws, and rejects with what it threw', async () => {
  const url = await server.createDatabase();
  const connections = new PostgresConnections(url);
  onTestFinished(() => connections.close());
  const thrown = new Error('no');
  await expect(
    connections.transaction({ statementMs: 5_000 }, async (query) => {
      await query('CREATE TABLE made ()');
      throw thrown;
    }),
  ).rejects.toBe(thrown);
  expect(await queryPostgres(url, "SELECT to_regclass('made') AS made")).toEqual([{ made: null }]);
});
