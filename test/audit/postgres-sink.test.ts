import pg from 'pg';
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest';
import { postgresSink } from '../../src/audit/postgres/postgres-sink.js';
import { postgresTrail } from '../../src/audit/postgres/postgres-trail.js';
import { columnText } from '../../src/audit/postgres/record-rows.js';
import type { AuditRecord, AuditSink } from '../../src/audit/record.js';
import type { Trail } from '../../src/audit/reading/trail.js';
import { queryPostgres, startPostgres, type PostgresServer } from '../rig/postgres.js';
import {
  DAY,
  expectSound,
  makeChain,
  NOON,
  readAll,
  type RecordFields,
} from './support/postgres-records.js';

let server: PostgresServer;
beforeAll(async () => {
  server = await startPostgres();
});
afterAll(() => server.stop());

function openSink(...args: Parameters<typeof postgresSink>): AuditSink {
  const sink = postgresSink(...args);
  onTestFinished(() => sink.close?.());
  return sink;
}

function openTrail(...args: Parameters<typeof postgresTrail>): Trail {
  const trail = postgresTrail(...args);
  onTestFinished(() => trail.close());
  return trail;
}

function chainOf(count: number, session = 's1'): AuditRecord[] {
  return makeChain(
    session,
    Array.from({ length: count }, () => ({})),
  );
}

it('reads each record back as it was written, with all fields', async () => {
  const url = await server.createDatabase();
  const chain = makeChain('s1', [
    { type: 'session.created', message: undefined, salt: undefined, shownBy: null },
    {
      requestId: '7',
      outcome: 'tool_error',
      durationMs: 12,
      ranOn: 'node-2',
      trace: '00-ab-cd-01',
    },
    {
      direction: 'out',
      message: undefined,
      sealed: 'v1.abc',
      bytes: 12,
      digest: 'abc',
      redacted: true,
    },
    { missing: { entries: 3, from: NOON }, unreadable: true, skipped: 2, from: 'node-3' },
    { principal: undefined, client: '', tool: undefined, requestId: 1.5, durationMs: 0.25 },
    {
      type: 'session.ended',
      reason: 'expired',
      message: undefined,
      salt: undefined,
      principal: '',
    },
  ]);
  await openSink(url).write(chain);
  const read = await readAll(openTrail(url));
  expect(read).toEqual(chain);
  expectSound(read);
});

it('keeps texts that PostgreSQL cannot store or index, and finds them', async () => {
  const url = await server.createDatabase();
  const long = 'p'.repeat(8_000);
  const texts = [
    ...['nul \0 and more', '\ud800 half a pair', '\udc00', long, `${long}x`, "'; DROP TABLE x; --"],
    ...['"quoted" \\ \\u0000', '\u{1F600}'.repeat(300), '', 'é\u0301\n\t', '{}', 'null'],
    ...[columnText(long), '\ufffd', 'nul \ufffd and more'],
  ];
  const chain = makeChain(
    's1',
    texts.map((text, id): RecordFields => {
      const params = { [text]: text, ['__proto__']: 1, 2: 'b', 1: 'a' };
      const all = { principal: text, client: text, tool: text, method: text, stream: text };
      return { ...all, requestId: text, message: { jsonrpc: '2.0', id, method: text, params } };
    }),
  );
  const sessions = texts.flatMap((text) => makeChain(text, [{ sealed: text, message: undefined }]));
  await openSink(url).write([...chain, ...sessions]);

  const trail = openTrail(url);
  const read = await readAll(trail);
  expect(read.filter(({ session }) => session === 's1').slice(0, chain.length)).toEqual(chain);
  expectSound(await readAll(trail, { session: 's1' }));
  for (const [index, text] of texts.entries()) {
    expect(await readAll(trail, { principal: text })).toEqual([chain[index]]);
    expect(await readAll(trail, { tool: text })).toEqual([chain[index]]);
    expect(await readAll(trail, { method: text })).toEqual([chain[index]]);
    expect(await readAll(trail, { session: text })).toEqual([sessions[index]]);
  }
});

it('changes nothing with a second delivery, also after an erasure', async () => {
  const url = await server.createDatabase();
  const sink = openSink(url);
  const chain = chainOf(20);
  await sink.write(chain.slice(0, 12));
  await sink.write(chain.slice(5));
  expect(await readAll(openTrail(url))).toEqual(chain);

  const trail = openTrail(url);
  await trail.erase('alice');
  const erased = await readAll(trail);
  await sink.write(chain);
  expect(await readAll(trail)).toEqual(erased);
  expect(erased).not.toEqual(chain);
});

it('stores each record once when several archivers make the tables and deliver the same at the same time', async () => {
  const url = await server.createDatabase();
  const chain = makeChain(
    's1',
    Array.from({ length: 3_000 }, (_, index) => ({ at: NOON + index * 60_000 })),
  );
  const sinks = Array.from({ length: 4 }, () => openSink(url, { schema: 'Audit "1"' }));
  // The last two deliver other batches, in another order.
  await Promise.all([
    ...sinks.slice(0, 2).map((sink) => sink.write(chain)),
    ...sinks.slice(2).map((sink) => sink.write([...chain].reverse().slice(500))),
  ]);
  expect(await readAll(openTrail(url, { schema: 'Audit "1"' }))).toEqual(chain);
  const migrations = await queryPostgres(
    url,
    'SELECT version FROM "Audit ""1""".mcp_audit_migrations',
  );
  expect(migrations).toEqual([{ version: 1 }]);
});

it('lets no two archivers wait for each other that deliver the same in another order', async () => {
  const url = await server.createDatabase();
  const [one, other] = [openSink(url), openSink(url)];
  await Promise.all([one.write(chainOf(1, 'first')), other.write([])]);
  for (let round = 0; round < 10; round++) {
    const chain = chainOf(1_000, `s${round}`);
    await Promise.all([one.write(chain), other.write([...chain].reverse())]);
  }
  expect(await readAll(openTrail(url))).toHaveLength(10_001);
});

it('refuses tables of a newer release, to write and to read', async () => {
  const url = await server.createDatabase();
  await openSink(url).write(chainOf(1));
  await queryPostgres(url, 'INSERT INTO mcp_audit_migrations (version) VALUES (99)');
  const expected = /have version 99. This release knows versions up to 1/;
  await expect(openSink(url).write(chainOf(2))).rejects.toThrow(expected);
  await expect(readAll(openTrail(url))).rejects.toThrow(expected);
  await expect(openTrail(url).erase('alice')).rejects.toThrow(expected);
});

it('makes a partition for each day, however old, and uses one that an operator has joined', async () => {
  const url = await server.createDatabase();
  const sink = openSink(url);
  await sink.write([]);
  await queryPostgres(
    url,
    `CREATE TABLE january PARTITION OF mcp_audit_records FOR VALUES FROM ('2025-01-01Z') TO ('2025-02-01Z')`,
  );
  const midnight = NOON - (NOON % DAY);
  const times = [0, Date.UTC(2025, 0, 1), Date.UTC(2025, 0, 31, 23), midnight - 1, midnight, NOON];
  const chain = makeChain(
    's1',
    times.map((at) => ({ at })),
  );
  await sink.write(chain);
  const rows = await queryPostgres<{ name: string; count: string }>(
    url,
    'SELECT tableoid::regclass::text AS name, count(*) FROM mcp_audit_records GROUP BY 1 ORDER BY 1',
  );
  expect(rows).toEqual([
    { name: 'january', count: '2' },
    { name: 'mcp_audit_records_19700101', count: '1' },
    { name: 'mcp_audit_records_20260130', count: '1' },
    { name: 'mcp_audit_records_20260131', count: '2' },
  ]);
  expect(await readAll(openTrail(url))).toEqual(chain);
});

it('makes a partition again that was dropped or detached meanwhile', async () => {
  const url = await server.createDatabase();
  const sink = openSink(url);
  const chain = chainOf(3);
  await sink.write(chain.slice(0, 1));
  await queryPostgres(url, 'DROP TABLE mcp_audit_records_20260131');
  await sink.write(chain.slice(1, 2));
  expect(await readAll(openTrail(url))).toEqual(chain.slice(1, 2));
  await queryPostgres(
    url,
    'ALTER TABLE mcp_audit_records DETACH PARTITION mcp_audit_records_20260131 CONCURRENTLY',
  );
  await sink.write(chain.slice(2));
  expect(await readAll(openTrail(url))).toEqual(chain.slice(2));
});

it('commits durably in a database that has it off by default', async () => {
  const url = await server.createDatabase();
  const sink = openSink(url);
  await sink.write([]);
  // A database that is new for its connections has the settings of its own.
  const name = new URL(url).pathname.slice(1);
  for (const statement of [
    `ALTER DATABASE ${name} SET synchronous_commit = off`,
    'CREATE TABLE seen (setting text)',
    `CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
       INSERT INTO seen VALUES (current_setting('synchronous_commit')); RETURN NULL; END $$`,
    'CREATE TRIGGER see AFTER INSERT ON mcp_audit_records EXECUTE FUNCTION see()',
  ]) {
    await queryPostgres(url, statement);
  }
  expect(await queryPostgres(url, 'SHOW synchronous_commit')).toEqual([
    { synchronous_commit: 'off' },
  ]);
  await openSink(url).write(chainOf(1));
  expect(await queryPostgres(url, 'SELECT setting FROM seen')).toEqual([{ setting: 'on' }]);
});

it('uses the pool of an application, and leaves it open', async () => {
  const url = await server.createDatabase();
  const pool = new pg.Pool({ connectionString: url, max: 1 });
  onTestFinished(() => pool.end());
  const sink = postgresSink(pool);
  const trail = postgresTrail(pool);
  const chain = chainOf(3);
  await sink.write(chain);
  for await (const record of trail.records()) {
    // A reader that stops early, or takes its time, holds no connection.
    expect(await readAll(trail, { from: record.at })).toEqual(chain);
    break;
  }
  await sink.close?.();
  await trail.close();
  const { rows } = await pool.query('SHOW synchronous_commit');
  expect(rows).toHaveLength(1);
  await expect(sink.write(chain)).rejects.toThrow('The audit trail in PostgreSQL is closed');
});

it('stores messages of many bytes in several statements', async () => {
  const url = await server.createDatabase();
  const text = 'x"\n'.repeat(1024 * 1024);
  const chain = makeChain(
    's1',
    Array.from({ length: 6 }, (_, id): RecordFields => ({
      message: { jsonrpc: '2.0', id, result: { text } },
    })),
  );
  await openSink(url).write(chain);
  expectSound(await readAll(openTrail(url)));
  const rows = await queryPostgres(url, 'SELECT DISTINCT xmin::text FROM mcp_audit_records');
  expect(rows.length).toBeGreaterThan(2);
});
