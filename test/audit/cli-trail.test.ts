/** The commands that keep, read, verify and erase an audit trail. */
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { beforeEach, describe, expect, it } from 'vitest';
import type { AuditRecord } from '../../src/audit/index.js';
import { archivedSessions, directorySink, openTrail } from '../../src/audit/index.js';
import { redisBackplane } from '../../src/index.js';
import { cli, jsonLines, lines, startCli } from '../integration/support/cli.js';
import { openSession, startNode } from '../integration/support/serve.js';
import { buildPageForCommands } from '../support/page.js';
import { redisUrl, uniquePrefix } from '../support/redis-fixture.js';
import { RecordMaker } from './support/records.js';

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'anynode-trail-'));
  return () => rm(directory, { recursive: true, force: true });
});

/** Writes two sessions of Ada and one of Bob, as an archiver does. */
async function written(): Promise<{ ada: string; bob: string; records: AuditRecord[] }> {
  const maker = new RecordMaker();
  const [ada, bob] = [
    maker.session(2, { principal: 'ada' }),
    maker.session(1, { principal: 'bob' }),
  ];
  const records = [...ada, ...bob];
  const sink = directorySink(directory);
  await sink.write(records);
  await sink.close?.();
  return { ada: ada[0]?.session ?? '', bob: bob[0]?.session ?? '', records };
}

describe('the command `records`', () => {
  it('prints a table without messages, and whole records with --json', async () => {
    const { records } = await written();
    const { stdout, code } = await cli(['records', directory]);
    expect(code).toBe(0);
    expect(lines(stdout)).toHaveLength(records.length + 1);
    expect(lines(stdout)[2]).toMatch(/ada +\S+ +2 +→ tools\/call +echo/);
    expect(stdout).not.toContain('"arguments"');
    const json = await cli(['records', directory, '--json']);
    expect(jsonLines(json.stdout)).toEqual(records);
  });

  it('selects by principal, session, tool, outcome and time', async () => {
    const { bob, records } = await written();
    const found = async (...more: string[]) =>
      jsonLines<AuditRecord>((await cli(['records', directory, '--json', ...more])).stdout);
    expect(await found('--principal', 'bob')).toHaveLength(4);
    expect(await found('--session', bob, '--outcome', 'ok')).toHaveLength(1);
    expect(await found('--tool', 'echo', '--limit', '3')).toHaveLength(3);
    expect(await found('--anonymous')).toEqual([]);
    const since = new Date(records[6]?.at ?? 0).toISOString();
    expect(await found('--since', since)).toEqual(records.slice(6));
  });

  it('says what is wrong with its arguments', async () => {
    const missing = join(directory, 'missing');
    expect(await cli(['records', missing])).toMatchObject({ code: 2 });
    expect((await cli(['records', missing])).stderr).toContain(`there is no directory ${missing}`);
    expect((await cli(['records', directory, '--since', '1-0'])).stderr).toContain('--since');
    const other = await cli(['records', 'mysql://user:secret@127.0.0.1/none']);
    expect(other.code).toBe(2);
    expect(other.stderr).not.toContain('secret');
    const away = await cli(['records', 'postgres://user:secret@127.0.0.1:1/none']);
    expect(away.code).toBe(4);
    expect(away.stderr).not.toContain('secret');
  });

  it('does not repeat a URL that it cannot use, which may have a password in it', async () => {
    for (const url of ['mysql://ada:secret@host/db', 'postgres:/ada:secret@host/db']) {
      const { code, stderr } = await cli(['records', url]);
      expect({ code, stderr }).toEqual({
        code: 2,
        stderr:
          'mcp-anynode: the trail has to be the path of a directory, or a URL such as postgres://user@host/database\n',
      });
    }
    const wrong = await cli(['records', 'postgres://ada:secret/1@host/db']);
    expect(wrong.code).toBe(2);
    expect(wrong.stderr).toContain('%2F for /');
    expect(wrong.stderr).not.toContain('secret');
  });
});

describe('the command `verify`', () => {
  it('ends with 0 if nothing is missing or changed', async () => {
    await written();
    const { stdout, code } = await cli(['verify', directory]);
    expect(code).toBe(0);
    expect(lines(stdout)).toEqual([
      '10 records of 2 sessions, 0 without an end',
      'nothing is missing or changed',
    ]);
  });

  it('names each record that is missing or changed, and ends with 1', async () => {
    const { ada } = await written();
    const [name = ''] = await readdir(directory);
    const path = join(directory, name);
    const all = gunzipSync(await readFile(path))
      .toString()
      .split('\n');
    all[1] = (all[1] ?? '').replace(`${ada} 1`, 'changed');
    all.splice(3, 1);
    await writeFile(path, gzipSync(all.join('\n')));
    const { stdout, stderr, code } = await cli(['verify', directory]);
    expect(code).toBe(1);
    expect(lines(stdout).slice(0, 2)).toEqual([
      `Record 2 of session ${ada} has another message than when it was made`,
      `Record 4 of session ${ada} is missing`,
    ]);
    expect(stderr).toContain('problems found');
  });
});

describe('the command `erase`', () => {
  it('erases the messages of one principal, and the trail can still be verified', async () => {
    await written();
    expect((await cli(['erase', directory, '--principal', 'bob'])).code).toBe(2);
    expect((await cli(['erase', directory, '--yes'])).stderr).toContain('--principal');
    const { stdout, code } = await cli(['erase', directory, '--principal', 'bob', '--yes']);
    expect({ stdout, code }).toEqual({ stdout: '2 messages erased\n', code: 0 });
    const verified = await cli(['verify', directory, '--json']);
    expect(JSON.parse(verified.stdout)).toMatchObject({ erased: 2, problems: 0, found: [] });
  });
});

describe('a session of a trail', () => {
  it('is printed, exported and shown with --from, without Redis', async () => {
    const { ada } = await written();
    const events = await cli(['events', ada, '--from', directory]);
    expect(lines(events.stdout)).toHaveLength(6);
    expect(events.stdout).toContain('session.closed');
    const some = await cli(['events', ada, '--from', directory, '--json', '--direction', 'out']);
    expect(jsonLines(some.stdout)).toHaveLength(2);
    const exported = join(directory, 'session.export');
    expect((await cli(['export', ada, '--from', directory, '--output', exported])).code).toBe(0);
    expect(lines(await readFile(exported, 'utf8'))).toHaveLength(7);
    const diagram = await cli(['export', ada, '--from', directory, '--format', 'mermaid']);
    expect(diagram.stdout).toContain('sequenceDiagram');
    const unknown = await cli(['events', ada.slice(0, 8), '--from', directory]);
    expect(unknown).toMatchObject({ code: 1 });
    expect(unknown.stderr).toContain('it needs the whole id');
  });

  it('is the latest of its id, and the others can be asked for', async () => {
    const maker = new RecordMaker();
    const [first, second] = [maker.session(1, {}, 'same'), maker.session(2, {}, 'same')];
    const sink = directorySink(directory);
    await sink.write([...first, ...second]);
    await sink.close?.();
    const { stdout, stderr } = await cli(['events', 'same', '--from', directory]);
    expect(lines(stdout)).toHaveLength(second.length);
    expect(stderr).toContain('2 sessions had this id');
    const sessions = archivedSessions(openTrail(directory));
    const [chain = ''] = await sessions.chains('same');
    expect(lines(stderr)[1]).toContain(`  ${chain} of 2026-11-30`);
    const at = ['same', '--from', directory, '--chain'];
    const older = await cli(['events', ...at, chain]);
    expect({ lines: lines(older.stdout).length, stderr: older.stderr }).toEqual({
      lines: first.length,
      stderr: '',
    });
    const page = join(directory, 'page.html');
    buildPageForCommands();
    for (const command of [
      ['export', ...at, chain],
      ['view', ...at, chain, '--output', page],
    ]) {
      const { code, stdout: printed } = await cli(command);
      expect(code).toBe(0);
      const shown = command[0] === 'export' ? printed : await readFile(page, 'utf8');
      expect(shown).toContain('same 1');
      expect(shown).not.toContain('same 2');
    }
    const unknown = await cli(['events', ...at, '1-0']);
    expect(unknown.code).toBe(1);
    expect(unknown.stderr).toContain(chain);
    expect((await cli(['events', 'same', '--chain', chain])).stderr).toContain(
      '--chain needs --from',
    );
    expect((await sessions.stateAt('same', undefined, { chain }))?.received).toBe(1);
    expect(await sessions.stateAt('same')).toMatchObject({ state: 'closed', received: 2 });
    expect(await sessions.get('none')).toBeUndefined();
  });
});

it('the command `serve` keeps a trail with --audit', async () => {
  const behind = await startNode({});
  const trail = join(directory, 'trail');
  const serve = ['serve', '--upstream', behind.url, '--port', '0', '--json', '--audit', trail];
  const running = startCli(serve);
  await expect.poll(() => running.stdout).toContain('listening');
  const { listening } = JSON.parse(running.stdout) as { listening: string };
  const { client } = await openSession(listening);
  await client.request(listening, 'tools/call', { name: 'echo', arguments: {} });
  await client.delete(listening);
  running.kill('SIGTERM');
  expect((await running.ended).code).toBe(0);
  const { stdout } = await cli(['records', trail, '--tool', 'echo', '--outcome', 'ok', '--json']);
  expect(jsonLines(stdout)).toHaveLength(1);
  expect((await cli(['verify', trail])).code).toBe(0);
});

describe('the command `archive`', () => {
  it('delivers what nodes without a sink have recorded, redacted, until it is ended', async () => {
    const prefix = uniquePrefix();
    const node = await startNode({
      backplane: redisBackplane({ redis: redisUrl(), prefix }),
      audit: {},
    });
    const { client, sessionId } = await openSession(node.url);
    await client.request(node.url, 'tools/call', { name: 'echo', arguments: { text: 'hidden' } });
    await client.delete(node.url);
    const redact = join(directory, 'redact.mjs');
    await writeFile(
      redact,
      `export default (message) => (message.params?.name === 'echo' ? undefined : message);`,
    );
    const trail = join(directory, 'trail');
    const at = ['--redis', redisUrl(), '--prefix', prefix];
    const running = startCli(['archive', '--to', trail, '--redact', redact, ...at]);
    await expect
      .poll(async () => (await cli(['events', sessionId, '--from', trail])).stdout)
      .toContain('session.closed');
    running.kill('SIGTERM');
    expect((await running.ended).code).toBe(143);
    expect((await cli(['verify', trail])).code).toBe(0);
    const { stdout } = await cli(['records', trail, '--json', '--method', 'tools/call']);
    const [asked] = jsonLines<AuditRecord>(stdout);
    expect(asked).toMatchObject({ tool: 'echo', redacted: true });
    expect(asked?.message).toBeUndefined();
  });

  it('delivers with --once what waits, and ends', async () => {
    const prefix = uniquePrefix();
    const store = redisBackplane({ redis: redisUrl(), prefix });
    const node = await startNode({ backplane: store, audit: {} });
    const { client, sessionId } = await openSession(node.url);
    const trail = join(directory, 'trail');
    const once = ['archive', '--to', trail, '--once', '--redis', redisUrl(), '--prefix', prefix];
    for (const text of ['one', 'two']) {
      await client.request(node.url, 'tools/call', { name: 'echo', arguments: { text } });
      const { code, stderr } = await cli(once);
      expect({ code, last: lines(stderr).at(-1) }).toEqual({
        code: 0,
        last: 'mcp-anynode: delivered all that waited',
      });
      const { stdout } = await cli(['records', trail, '--session', sessionId, '--json']);
      expect(jsonLines<AuditRecord>(stdout).at(-1)?.message).toMatchObject({
        result: { content: [{ text: expect.stringContaining(text) as string }] },
      });
    }
    expect((await cli(once)).code).toBe(0);
    const away = ['archive', '--to', trail, '--once', '--redis', 'redis://127.0.0.1:1'];
    expect((await cli(away)).code).toBe(3);
  });

  it('says what is wrong with its options', async () => {
    const url = ['archive', '--redis', redisUrl(), '--to', 'mysql://ada:secret@host/db'];
    expect((await cli(url)).stderr).toMatch(/^mcp-anynode: --to has to be(?!.*secret)/);
    expect((await cli(['archive', '--redis', redisUrl()])).code).toBe(2);
    const encrypt = ['archive', '--redis', redisUrl(), '--to', directory, '--encrypt'];
    expect((await cli(encrypt)).stderr).toContain('--encrypt needs keys');
    const none = ['archive', '--redis', redisUrl(), '--to', directory, '--redact', 'none.mjs'];
    expect((await cli(none)).stderr).toContain('cannot load none.mjs');
  });
});
