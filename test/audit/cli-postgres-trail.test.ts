/** The commands on an audit trail in PostgreSQL, with and without keys. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest';
import type { AuditRecord } from '../../src/audit/index.js';
import { aesGcmCodec } from '../../src/codec/index.js';
import { redisBackplane } from '../../src/index.js';
import { cli, jsonLines, lines } from '../integration/support/cli.js';
import { openSession, startNode } from '../integration/support/serve.js';
import type { PostgresServer } from '../rig/postgres.js';
import { queryPostgres, startPostgres } from '../rig/postgres.js';
import { buildPageForCommands } from '../support/page.js';
import { redisUrl, uniquePrefix } from '../support/redis-fixture.js';

let server: PostgresServer;
beforeAll(async () => {
  server = await startPostgres();
});
afterAll(() => server.stop());

/** Returns the URL of an empty database without its password, and the environment that has it. */
async function newDatabase() {
  const url = new URL(await server.createDatabase());
  const env = { PGPASSWORD: url.password };
  const whole = url.href;
  url.password = '';
  return { trail: url.href, whole, env };
}

async function newDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'anynode-trail-'));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

/** A session of Ada that has ended, in the outbox. */
async function endedSession(codec?: ReturnType<typeof aesGcmCodec>) {
  const prefix = uniquePrefix();
  const backplane = redisBackplane({ redis: redisUrl(), prefix });
  const principal = () => 'ada';
  const node = await startNode({ backplane, principal, audit: {}, ...(codec && { codec }) });
  const { client, sessionId } = await openSession(node.url);
  await client.request(node.url, 'tools/call', { name: 'echo', arguments: { text: 'hello' } });
  await client.delete(node.url);
  return { sessionId, at: ['--redis', redisUrl(), '--prefix', prefix] };
}

it('archives, lists, shows, verifies and erases, with the password in the environment', async () => {
  const { trail, whole, env } = await newDatabase();
  const { sessionId, at } = await endedSession();
  const run = (...args: string[]) => cli(args, env);
  expect(await run('archive', '--to', trail, '--once', ...at)).toMatchObject({ code: 0 });

  const { stdout } = await run('records', trail, '--principal', 'ada', '--tool', 'echo', '--json');
  expect(jsonLines<AuditRecord>(stdout)).toMatchObject([
    { session: sessionId, direction: 'in', method: 'tools/call', tool: 'echo' },
    { session: sessionId, direction: 'out', outcome: 'ok', previous: expect.any(String) as string },
  ]);
  const table = await run('records', trail, '--outcome', 'ok', '--method', 'tools/call');
  expect(lines(table.stdout)).toHaveLength(2);
  expect(lines(table.stdout)[1]).toContain(sessionId);

  const events = await run('events', sessionId, '--from', trail);
  expect(events.stdout).toContain('hello');
  expect(lines(events.stdout).at(-1)).toContain('session.closed');
  const page = join(await newDirectory(), 'page.html');
  buildPageForCommands();
  expect((await run('view', sessionId, '--from', trail, '--output', page)).code).toBe(0);
  expect(await readFile(page, 'utf8')).toContain('hello');

  expect(await run('verify', trail)).toMatchObject({ code: 0 });
  const erased = await run('erase', trail, '--principal', 'ada', '--yes', '--json');
  expect(JSON.parse(erased.stdout)).toEqual({ erased: 5 });
  expect((await run('verify', trail)).stdout).toContain('5 messages erased');
  const after = await run('events', sessionId, '--from', trail);
  expect(after.stdout).not.toContain('hello');
  expect(after.stdout.match(/\(encrypted or erased\)/g)).toHaveLength(5);

  await queryPostgres(whole, `DELETE FROM mcp_audit_records WHERE tool = 'echo'`);
  const broken = await run('verify', trail);
  expect(broken.code).toBe(1);
  expect(broken.stdout).toContain(`of session ${sessionId} `);
});

it('archives encrypted messages, which the commands show with the keys only', async () => {
  const key = Buffer.alloc(32, 7);
  const { trail, env } = await newDatabase();
  const { sessionId, at } = await endedSession(aesGcmCodec({ keys: { k1: key }, current: 'k1' }));
  const keyFile = join(await newDirectory(), 'keys');
  await writeFile(keyFile, `k1=${key.toString('base64')}`);
  const keys = ['--key-file', keyFile];
  const run = (...args: string[]) => cli(args, env);
  const archiving = ['archive', '--to', trail, '--once', '--encrypt', ...keys, ...at];
  expect(await run(...archiving)).toMatchObject({ code: 0 });

  expect((await run('records', trail, '--json')).stdout).not.toContain('hello');
  const unread = await run('events', sessionId, '--from', trail);
  expect(unread.stdout).not.toContain('hello');
  expect(unread.stdout).toContain('(encrypted or erased)');
  expect((await run('events', sessionId, '--from', trail, ...keys)).stdout).toContain('hello');

  const unchecked = await run('verify', trail);
  expect(unchecked).toMatchObject({ code: 0 });
  expect(unchecked.stdout).toContain('5 messages not checked');
  const checked = await run('verify', trail, ...keys);
  expect(checked).toMatchObject({ code: 0 });
  expect(checked.stdout).not.toContain('not checked');
});

it('says that the database has no trail, and never the password', async () => {
  const { trail, env } = await newDatabase();
  const empty = await cli(['records', trail], env);
  expect(empty.code).toBe(4);
  expect(empty.stderr).toMatch(/^mcp-anynode: .+\n$/);
  const url = new URL(trail);
  url.password = 'wrong-one';
  const refused = await cli(['verify', url.href]);
  expect(refused.code).toBe(4);
  expect(refused.stderr).toContain('password authentication failed');
  expect(refused.stderr).not.toContain('wrong-one');
});
