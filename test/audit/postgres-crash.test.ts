import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest';
import { postgresSink } from '../../src/audit/postgres/postgres-sink.js';
import { postgresTrail } from '../../src/audit/postgres/postgres-trail.js';
import { queryPostgres, startPostgres, type PostgresServer } from '../rig/postgres.js';
import { expectSound, makeChain, NOON, readAll } from './support/postgres-records.js';

let server: PostgresServer;
beforeAll(async () => {
  server = await startPostgres({ fsync: true });
});
afterAll(() => server.stop());

it('loses no record that was stored, and stores none twice, when the server is killed while it writes', async () => {
  const url = await server.createDatabase();
  const sink = postgresSink(url);
  onTestFinished(() => sink.close?.());
  const trail = postgresTrail(url);
  onTestFinished(() => trail.close());

  let stored = 0;
  let rejected = 0;
  const state = { isEnding: false, batches: 0 };
  const chain = makeChain(
    's1',
    Array.from({ length: 20_000 }, (_, index) => ({ at: NOON + index * 20_000 })),
  );
  const writing = (async () => {
    while (!state.isEnding && stored < chain.length) {
      const batch = chain.slice(stored, stored + 37);
      try {
        await sink.write(batch);
        stored += batch.length;
        state.batches++;
      } catch {
        rejected++;
        // As an archiver does, it leaves some time for others before it tries again.
        await pause(20);
      }
    }
  })();

  for (let kill = 1; kill <= 3; kill++) {
    const before = state.batches;
    await expect.poll(() => state.batches).toBeGreaterThan(before + 5 * kill);
    await server.kill();
    const acknowledged = stored;
    await server.start();
    // The writer goes on meanwhile, so that there may be more.
    const read = await readAll(trail);
    expect(read.length).toBeGreaterThanOrEqual(acknowledged);
    expectSound(read);
  }
  await expect.poll(() => state.batches).toBeGreaterThan(30);
  state.isEnding = true;
  await writing;
  expect(rejected).toBeGreaterThan(0);
  expect(await readAll(trail)).toEqual(chain.slice(0, stored));
});

it('rejects a write whose connection is cut, and stores it with the next delivery', async () => {
  const url = await server.createDatabase();
  const sink = postgresSink(url);
  onTestFinished(() => sink.close?.());
  const chain = makeChain('s1', [{}, {}]);
  await sink.write(chain.slice(0, 1));
  // Cuts the connection while the statement that inserts is running.
  for (const statement of [
    `CREATE FUNCTION cut() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
       PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$`,
    'CREATE TRIGGER cut AFTER INSERT ON mcp_audit_records EXECUTE FUNCTION cut()',
  ]) {
    await queryPostgres(url, statement);
  }
  await expect(sink.write(chain)).rejects.toThrow(
    /cannot be reached: terminating connection due to administrator command/,
  );
  await queryPostgres(url, 'DROP TRIGGER cut ON mcp_audit_records');
  await sink.write(chain);
  const trail = postgresTrail(url);
  onTestFinished(() => trail.close());
  expect(await readAll(trail)).toEqual(chain);
});
