import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { auditTables } from '../../src/audit/postgres/audit-schema.js';
import { postgresSink } from '../../src/audit/postgres/postgres-sink.js';
import { pageStatement, postgresTrail } from '../../src/audit/postgres/postgres-trail.js';
import type { AuditRecord } from '../../src/audit/record.js';
import type { Trail, TrailQuery } from '../../src/audit/reading/trail.js';
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

async function storedTrail(
  records: readonly AuditRecord[],
): Promise<{ trail: Trail; url: string }> {
  const url = await server.createDatabase();
  const sink = postgresSink(url);
  await sink.write(records);
  await sink.close?.();
  const trail = postgresTrail(url);
  onTestFinished(() => trail.close());
  return { trail, url };
}

const fields = (count: number, of: (index: number) => RecordFields): RecordFields[] =>
  Array.from({ length: count }, (_, index) => of(index));

it('reads pages one after the other, in the order of time and of each chain', async () => {
  // All of a second have the same time, as what was logged together has. The last number of an outbox is that of two chains.
  const at = (index: number) => NOON + Math.floor(index / 700) * 1_000;
  const chains = [
    makeChain(
      's1',
      fields(2_500, (index) => ({ at: at(index), ordinal: index * 2 + 1 })),
    ),
    makeChain(
      's2',
      fields(2_500, (index) => ({ at: at(index), ordinal: index * 2 + 2 })),
    ),
    makeChain(
      's3',
      fields(2_500, (index) => ({ at: at(index), outbox: 'b' })),
    ),
  ];
  const { trail } = await storedTrail(chains.flat());
  const read = await readAll(trail);
  expect(read).toHaveLength(7_500);
  for (const chain of chains) {
    expect(read.filter(({ session }) => session === chain[0]?.session)).toEqual(chain);
  }
  expect(read.every((record, index) => record.at >= (read[index - 1]?.at ?? 0))).toBe(true);
});

it('finds by session, principal, tool, method, outcome and time, and by all together', async () => {
  const records = [
    ...makeChain('s1', [
      { at: NOON - DAY, tool: 'weather' },
      { tool: 'time', outcome: 'tool_error' },
      { at: NOON + DAY, method: 'ping', tool: undefined, outcome: 'ok' },
    ]),
    ...makeChain(
      's2',
      fields(3, () => ({ principal: 'bob' })),
    ),
    ...makeChain(
      's3',
      fields(2, () => ({ principal: undefined })),
    ),
    ...makeChain(
      's4',
      fields(2, () => ({ principal: '' })),
    ),
  ];
  const { trail } = await storedTrail(records);
  const queries: [TrailQuery, (record: AuditRecord) => boolean][] = [
    [{ session: 's1' }, ({ session }) => session === 's1'],
    [{ principal: 'bob' }, ({ principal }) => principal === 'bob'],
    [{ principal: 'bo' }, () => false],
    [{ principal: null }, ({ session }) => session === 's3'],
    [{ principal: '' }, ({ session }) => session === 's4'],
    [{ principal: undefined }, () => true],
    [{ tool: 'time' }, ({ tool }) => tool === 'time'],
    [{ method: 'ping' }, ({ method }) => method === 'ping'],
    [{ outcome: 'ok' }, ({ outcome }) => outcome === 'ok'],
    [{ from: NOON + 2 }, ({ at }) => at >= NOON + 2],
    [{ from: NOON + 1.5 }, ({ at }) => at >= NOON + 2],
    [{ until: NOON + 2 }, ({ at }) => at < NOON + 2],
    [{ from: NOON, until: NOON + 3 }, ({ at }) => at >= NOON && at < NOON + 3],
    [{ from: NaN }, () => false],
    [{ from: -Infinity, until: 1e300 }, () => true],
    [
      { session: 's2', principal: 'bob', tool: 'weather', from: NOON + 2 },
      ({ session, at }) => session === 's2' && at >= NOON + 2,
    ],
    [{ session: 's2', principal: 'alice' }, () => false],
  ];
  for (const [query, matches] of queries) {
    const found = await readAll(trail, query);
    const byHash = (a: AuditRecord, b: AuditRecord) => (a.hash < b.hash ? -1 : 1);
    expect(found.sort(byHash), JSON.stringify(query)).toEqual(records.filter(matches).sort(byHash));
  }
});

it('ends a page with the message that makes it larger than 8 MiB', async () => {
  const message = (id: number) => ({
    jsonrpc: '2.0' as const,
    id,
    result: { text: 'x'.repeat(3_000_000) },
  });
  const chain = makeChain(
    's1',
    fields(9, (id) => ({ message: message(id) })),
  );
  const { url } = await storedTrail(chain);
  const range = { from: NOON, until: NOON + DAY };
  const { text, values } = pageStatement(auditTables(), {}, range);
  expect(await queryPostgres(url, text, values)).toHaveLength(3);

  const large = makeChain('s2', [
    { message: { ...message(1), result: { text: 'x'.repeat(9_000_000) } } },
    {},
  ]);
  const stored = await storedTrail(large);
  const page = pageStatement(auditTables(), {}, range);
  expect(await queryPostgres(stored.url, page.text, page.values)).toHaveLength(1);
  expectSound(await readAll(stored.trail));
});

it('writes, reads and erases more days than the server can lock at a time', async () => {
  const small = await startPostgres({
    settings: {
      ...{ max_locks_per_transaction: '10', max_connections: '5', max_wal_senders: '0' },
      ...{ superuser_reserved_connections: '0', max_worker_processes: '0' },
    },
  });
  onTestFinished(() => small.stop());
  const sink = postgresSink(small.url);
  const trail = postgresTrail(small.url);
  const chain = makeChain(
    's1',
    fields(120, (index) => ({ at: NOON + index * DAY })),
  );
  await sink.write(chain);
  await expect(queryPostgres(small.url, 'SELECT count(*) FROM mcp_audit_records')).rejects.toThrow(
    'out of shared memory',
  );
  expect(await readAll(trail)).toEqual(chain);
  expect(await readAll(trail, { session: 's1' })).toEqual(chain);
  expect(await readAll(trail, { tool: 'weather', from: NOON + 20 * DAY })).toEqual(chain.slice(20));
  expect(await trail.erase('alice')).toBe(120);
  await sink.close?.();
  await trail.close();
});

it('passes over rows that were changed so that they are no records, and says where they are', async () => {
  const chain = makeChain(
    's1',
    fields(4, () => ({})),
  );
  const { trail, url } = await storedTrail(chain);
  await queryPostgres(url, "UPDATE mcp_audit_records SET message = '{' WHERE seq = 1");
  await queryPostgres(url, 'UPDATE mcp_audit_records SET session = NULL WHERE seq = 2');
  await queryPostgres(
    url,
    "UPDATE mcp_audit_records SET at = at + interval '0.4 milliseconds' WHERE seq = 4",
  );
  const unreadable: string[] = [];
  const read: AuditRecord[] = [];
  for await (const record of trail.records({}, (where) => unreadable.push(where))) {
    read.push(record);
  }
  const place = '2026-01-31 12:00:00';
  expect(unreadable).toEqual([
    `the row of ${place}.001+00 with the hash ${chain[0]?.hash ?? ''}`,
    `the row of ${place}.002+00 with the hash ${chain[1]?.hash ?? ''}`,
    `the row of ${place}.0044+00 with the hash ${chain[3]?.hash ?? ''}`,
  ]);
  expect(read).toEqual([chain[2]]);
  expect(await trail.erase('alice')).toBe(4);
});

it('reads a database that writes dates in another style', async () => {
  const chain = makeChain('s1', [{}, { at: NOON + DAY }]);
  const { url, trail } = await storedTrail(chain);
  const name = new URL(url).pathname.slice(1);
  await queryPostgres(url, `ALTER DATABASE ${name} SET DateStyle = 'SQL, DMY'`);
  await queryPostgres(url, `ALTER DATABASE ${name} SET TimeZone = 'Asia/Tokyo'`);
  expect(await readAll(trail, { from: NOON })).toEqual(chain);
  const later = postgresTrail(url);
  onTestFinished(() => later.close());
  expect(await readAll(later)).toEqual(chain);
});

it('reads what is left after an operator has removed the days before a date', async () => {
  const chain = makeChain(
    's1',
    fields(5, (index) => ({ at: NOON + index * DAY })),
  );
  const { trail, url } = await storedTrail(chain);
  // Prints the statements that remove the days. They must not run in a transaction.
  const rows = await queryPostgres<{ detach: string; drop: string }>(
    url,
    `SELECT format('ALTER TABLE mcp_audit_records DETACH PARTITION %s CONCURRENTLY', inhrelid::regclass) AS detach,
       format('DROP TABLE %s', inhrelid::regclass) AS drop
     FROM pg_inherits
     WHERE inhparent = 'mcp_audit_records'::regclass
       AND substring(inhrelid::regclass::text FROM 'mcp_audit_records_(\\d{8})')
         < to_char(date '2026-02-02', 'YYYYMMDD')`,
  );
  expect(rows).toHaveLength(2);
  for (const { detach, drop } of rows) {
    await queryPostgres(url, detach);
    await queryPostgres(url, drop);
  }
  expect(await readAll(trail)).toEqual(chain.slice(2));
});

describe('the plan of PostgreSQL', () => {
  interface Plan {
    'Node Type': string;
    'Relation Name'?: string;
    'Index Name'?: string;
    Plans?: Plan[];
  }
  const nodesOf = (plan: Plan): Plan[] => [plan, ...(plan.Plans ?? []).flatMap(nodesOf)];

  it('uses the index of the query, and no partition of other days', async () => {
    const url = await server.createDatabase();
    const sink = postgresSink(url);
    for (let number = 0; number < 60; number++) {
      const principal = `principal ${number}`;
      const of = (index: number): RecordFields => ({
        ...{ at: NOON + (index % 3) * DAY + number * 1_000, principal, tool: `tool ${number}` },
        ordinal: number * 200 + index,
      });
      await sink.write(makeChain(`session ${number}`, fields(200, of)));
    }
    await sink.close?.();
    await queryPostgres(url, 'ANALYZE mcp_audit_records');

    const range = { from: NOON + DAY, until: NOON + 2 * DAY - 12 * 3_600_000 };
    const second = { from: NOON + 30_000, until: NOON + 31_000 };
    const cases = [
      [{ session: 'session 3' }, range, 'session_at_chain_seq'],
      [{ principal: 'principal 3' }, range, 'principal_at'],
      [{ tool: 'tool 3' }, range, 'tool_at'],
      [{}, second, 'pkey'],
    ] as const;
    for (const [query, times, index] of cases) {
      for (const after of [undefined, [new Date(times.from).toISOString(), '5', 'hash']] as const) {
        const { text, values } = pageStatement(auditTables(), query, times, after);
        const [row] = await queryPostgres<{ 'QUERY PLAN': [{ Plan: Plan }] }>(
          url,
          `EXPLAIN (FORMAT JSON) ${text}`,
          values,
        );
        const nodes = row ? nodesOf(row['QUERY PLAN'][0].Plan) : [];
        const tables = nodes.flatMap((node) => node['Relation Name'] ?? []);
        const indexes = nodes.flatMap((node) => node['Index Name'] ?? []);
        const day = times === range ? '20260201' : '20260131';
        expect(tables).toEqual([`mcp_audit_records_${day}`]);
        expect(indexes).toEqual([expect.stringContaining(`_${index}`)]);
      }
    }
  });
});

describe('an erasure', () => {
  it('removes messages and salts of one principal, and the chains can still be verified', async () => {
    const kept = makeChain(
      's2',
      fields(3, () => ({ principal: 'alic' })),
    );
    const anonymous = makeChain(
      's3',
      fields(3, () => ({ principal: undefined })),
    );
    const chain = makeChain('s1', [
      ...fields(6, (index) => ({ at: NOON + index * DAY, tool: '\0' })),
      { at: NOON + 6 * DAY, message: undefined, sealed: 'v1.secret' },
      { at: NOON + 7 * DAY, message: undefined, salt: undefined },
    ]);
    const { trail, url } = await storedTrail([...chain, ...kept, ...anonymous]);
    expect(await trail.erase('alice')).toBe(7);

    const read = await readAll(trail, { session: 's1' });
    expect(read).toEqual([
      ...chain.slice(0, 7).map(({ message, sealed, salt, ...rest }) => ({ ...rest, erased: true })),
      ...chain.slice(7),
    ]);
    expectSound(read);
    const [row] = await queryPostgres<{ text: string }>(
      url,
      "SELECT string_agg(r::text, ' ') AS text FROM mcp_audit_records AS r WHERE session = 's1'",
    );
    expect(row?.text).not.toMatch(/city|secret/);
    for (const { salt } of chain.slice(0, 7)) expect(row?.text).not.toContain(salt);
    expect(await readAll(trail, { session: 's2' })).toEqual(kept);
    expect(await readAll(trail, { session: 's3' })).toEqual(anonymous);

    expect(await trail.erase('alice')).toBe(0);
    expect(await trail.erase(null)).toBe(3);
    expectSound(await readAll(trail, { session: 's3' }));
  });

  it('goes on where an interrupted one has ended', async () => {
    const chain = makeChain(
      's1',
      fields(3_500, () => ({})),
    );
    const { trail, url } = await storedTrail(chain);
    // Refuses the second batch.
    for (const statement of [
      'CREATE SEQUENCE batches',
      `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
         IF nextval('batches') = 2 THEN RAISE 'the disk is full'; END IF; RETURN NULL; END $$`,
      'CREATE TRIGGER refuse AFTER UPDATE ON mcp_audit_records EXECUTE FUNCTION refuse()',
    ]) {
      await queryPostgres(url, statement);
    }
    await expect(trail.erase('alice')).rejects.toThrow('the disk is full');
    expect((await readAll(trail)).filter(({ erased }) => erased)).toHaveLength(1_000);
    expect(await trail.erase('alice')).toBe(2_500);
    const read = await readAll(trail);
    expect(read.every(({ erased, message }) => erased && message === undefined)).toBe(true);
    expectSound(read);
  });
});
