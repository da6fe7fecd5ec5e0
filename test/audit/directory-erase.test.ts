import { mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { beforeEach, describe, expect, it } from 'vitest';
import { compressFile } from '../../src/audit/directory/compress-file.js';
import { directorySink } from '../../src/audit/directory/directory-sink.js';
import { directoryTrail } from '../../src/audit/directory/directory-trail.js';
import type { AuditRecord } from '../../src/audit/record.js';
import { verifyTrail } from '../../src/audit/verifying/verify-trail.js';
import { all, RecordMaker } from './support/records.js';

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'anynode-erase-'));
  return () => rm(directory, { recursive: true, force: true });
});

const PLAIN = '2026-11-30.0001.jsonl';
const LONG_AGO = new Date(Date.now() - 60 * 60_000);

const files = async () => (await readdir(directory)).sort();
const linesOf = (records: readonly AuditRecord[]) =>
  records.map((record) => `${JSON.stringify(record)}\n`).join('');

/** Puts a file into the directory that nobody has written for an hour. */
async function put(name: string, content: string | Uint8Array): Promise<string> {
  const path = join(directory, name);
  await writeFile(path, content);
  await utimes(path, LONG_AGO, LONG_AGO);
  return path;
}

/** Returns everything that is in the directory, unpacked. */
async function contents(): Promise<string> {
  const read = async (name: string) => {
    const bytes = await readFile(join(directory, name));
    return (name.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString();
  };
  return (await Promise.all((await files()).map(read))).join('');
}

describe('erasing in a directory', () => {
  // A crash between the two steps of a compression leaves both files. Only the compressed one is read.
  it('erases in a plain file that was left beside the compressed one, too', async () => {
    const text = linesOf(new RecordMaker().session(2, { principal: 'bob' }));
    await put(PLAIN, text);
    await put(`${PLAIN}.gz`, gzipSync(text));
    expect(await directoryTrail(directory).erase('bob')).toBe(8);
    expect(await files()).toEqual([PLAIN, `${PLAIN}.gz`]);
    expect(await contents()).not.toContain('"message":');
  });

  it('removes temporary files that were left by a crash, and no others', async () => {
    const text = linesOf(new RecordMaker().session(2, { principal: 'bob' }));
    await put(PLAIN, text);
    await put(`${PLAIN}.tmp`, text.slice(0, 900));
    await put('2026-11-29.0001.jsonl.gz.tmp', 'half');
    await put('notes.tmp', 'of the operator');
    expect(await directoryTrail(directory).erase('bob')).toBe(4);
    expect(await files()).toEqual([PLAIN, 'notes.tmp']);
  });

  it('removes the unfinished last line of a dead process, which was never acknowledged', async () => {
    const [alice, bob] = [new RecordMaker().session(1), new RecordMaker().session(1)];
    const half = `{"v":1,"message":{"params":"${'secret'.repeat(9)}`;
    await put(PLAIN, linesOf(alice) + half);
    await put('2026-11-30.0002.jsonl.gz', gzipSync(linesOf(bob) + half));
    expect(await directoryTrail(directory).erase('nobody')).toBe(0);
    expect(await contents()).toBe(linesOf([...alice, ...bob]));
  });

  it('does not touch the unfinished last line of a living process', async () => {
    const text = `${linesOf(new RecordMaker().session(1))}{"v":1,"sess`;
    await writeFile(join(directory, PLAIN), text);
    expect(await directoryTrail(directory).erase('nobody')).toBe(0);
    expect(await contents()).toBe(text);
  });

  it('leaves lines that are no records byte for byte', async () => {
    const noRecord = Buffer.from([0xff, 0xfe, 0x80, 0x0a, 0x0a, 0xc3, 0x0a]);
    const [alice, bob] = [
      new RecordMaker().session(1),
      new RecordMaker().session(1, { principal: 'bob' }),
    ];
    const before = Buffer.concat([Buffer.from(linesOf(alice)), noRecord]);
    const path = await put(PLAIN, Buffer.concat([before, Buffer.from(linesOf(bob))]));
    expect(await directoryTrail(directory).erase('bob')).toBe(2);
    expect((await readFile(path)).subarray(0, before.length).equals(before)).toBe(true);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
  });

  it('names a file that is damaged, and erases in the others', async () => {
    const maker = new RecordMaker();
    const damaged = gzipSync(linesOf(maker.session(200, { principal: 'bob' })));
    await put(`${PLAIN}.gz`, damaged.subarray(0, damaged.length / 2));
    const other = await put(
      '2026-11-30.0002.jsonl',
      linesOf(maker.session(2, { principal: 'bob' })),
    );
    const trail = directoryTrail(directory);
    await expect(trail.erase('bob')).rejects.toThrow(
      `the payloads of 4 records were erased, but ${PLAIN}.gz cannot be read to the end`,
    );
    expect(await readFile(other, 'utf8')).not.toContain('"message":');
    expect(await files()).toEqual([`${PLAIN}.gz`, '2026-11-30.0002.jsonl']);
  });

  // Each of two processes makes the file anew from what it was. The later one would bring back what the earlier one has erased.
  it('loses nothing and brings nothing back when several processes erase', async () => {
    const names = ['alice', 'bob', 'carol'];
    const maker = new RecordMaker();
    const written = names.flatMap(() =>
      names.flatMap((principal) => maker.session(150, { principal })),
    );
    const third = written.length / 3;
    for (let at = 0; at < 3; at += 1) {
      const text = linesOf(written.slice(at * third, (at + 1) * third));
      const name = `2026-11-30.000${at + 1}.jsonl`;
      await (at === 1 ? put(`${name}.gz`, gzipSync(text)) : put(name, text));
    }
    const trail = directoryTrail(directory);
    const withPayload = async (principal: string) =>
      (await all(trail.records({ principal }))).filter(({ message }) => message !== undefined);
    const ended = await Promise.allSettled(
      names.map((name) => directoryTrail(directory).erase(name)),
    );
    for (const [at, { status, ...outcome }] of ended.entries()) {
      if (status === 'fulfilled') expect(await withPayload(names[at] ?? '')).toEqual([]);
      else expect(String('reason' in outcome && outcome.reason)).toContain('may still be written');
    }
    for (const name of names) await trail.erase(name);
    expect(await all(trail.records())).toHaveLength(written.length);
    expect(await verifyTrail(trail)).toMatchObject({ problems: 0, erased: 3 * 3 * 300 });
    expect(await contents()).not.toContain('"message":');
    expect(await files()).toHaveLength(3);
  });

  it('does not bring back what is erased when the file is compressed at the same time', async () => {
    const maker = new RecordMaker();
    const records = [maker.session(800), maker.session(800, { principal: 'bob' })].flat();
    const path = await put(PLAIN, linesOf(records));
    const trail = directoryTrail(directory);
    const [erasing] = await Promise.allSettled([trail.erase('bob'), compressFile(path)]);
    if (erasing.status === 'rejected') {
      expect(String(erasing.reason)).toContain('may still be written');
      await trail.erase('bob');
    }
    const found = await all(trail.records());
    expect(found.map(({ hash }) => hash)).toEqual(records.map(({ hash }) => hash));
    expect(found.filter(({ erased }) => erased)).toHaveLength(1600);
    expect(await contents()).not.toMatch(/"principal":"bob".*"message":/);
  });
});

it('a sink removes temporary files that were left by a crash', async () => {
  await put(`${PLAIN}.gz.tmp`, 'half');
  const sink = directorySink(directory);
  await sink.write(new RecordMaker().session(1));
  await sink.close?.();
  expect(await files()).toEqual([`${PLAIN}.gz`]);
});
