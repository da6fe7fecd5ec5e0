import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  appendFile,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gunzipSync, gzipSync } from 'node:zlib';
import { beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { compressFile } from '../../src/audit/directory/compress-file.js';
import { directorySink } from '../../src/audit/directory/directory-sink.js';
import { directoryTrail } from '../../src/audit/directory/directory-trail.js';
import type { AuditRecord } from '../../src/audit/record.js';
import { all, NOON, RecordMaker } from './support/records.js';

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'anynode-trail-'));
  return () => rm(directory, { recursive: true, force: true });
});

const read = (query = {}) => all(directoryTrail(directory).records(query));
const files = async () => (await readdir(directory)).sort();
const HOUR = 60 * 60_000;

describe('a sink in a directory', () => {
  it('writes one record on a line, and gives it back as it was', async () => {
    const sink = directorySink(directory);
    const hostile = {
      jsonrpc: '2.0' as const,
      method: 'x',
      params: { text: 'a\n\u2028\u0000\ud800"' },
    };
    const maker = new RecordMaker();
    const records = [...maker.session(3), maker.next('s', { message: hostile, principal: 'a\nb' })];
    await sink.write(records);
    const [name = ''] = await files();
    expect(name).toBe('2026-11-30.0001.jsonl');
    const text = await readFile(join(directory, name), 'utf8');
    expect(text.split('\n')).toHaveLength(records.length + 1);
    expect((await stat(join(directory, name))).mode & 0o777).toBe(0o600);
    expect(await read()).toEqual(records);
    await sink.close?.();
    expect(await read()).toEqual(records);
  });

  it('has a file for each day, and compresses those that are finished', async () => {
    const sink = directorySink(directory);
    const maker = new RecordMaker(NOON, 6 * HOUR);
    const records = maker.session(4);
    for (const record of records) await sink.write([record]);
    const [first, second, ...open] = ['11-30', '12-01', '12-02', '12-03'].map(
      (day) => `2026-${day}.0001.jsonl`,
    );
    await expect.poll(files).toEqual([`${first}.gz`, `${second}.gz`, ...open]);
    await sink.close?.();
    expect((await files()).every((name) => name.endsWith('.jsonl.gz'))).toBe(true);
    expect(await read()).toEqual(records);
    expect(
      gunzipSync(await readFile(join(directory, '2026-11-30.0001.jsonl.gz'))).length,
    ).toBeGreaterThan(100);
  });

  it('begins another file when one is large enough, and leaves files plain if told so', async () => {
    const sink = directorySink(directory, { maxFileBytes: 1000, compress: false });
    const records = new RecordMaker().session(5);
    for (const record of records) await sink.write([record]);
    await sink.close?.();
    expect((await files()).length).toBeGreaterThan(3);
    expect(await read()).toEqual(records);
  });

  it('never shares a file with another sink', async () => {
    const [one, two] = [directorySink(directory), directorySink(directory)];
    const records = new RecordMaker().session(10);
    await Promise.all([one.write(records), two.write(records)]);
    expect(await files()).toEqual(['2026-11-30.0001.jsonl', '2026-11-30.0002.jsonl']);
    // Both wrote the same records, and each is shown once.
    expect(await read()).toEqual(records);
    await Promise.all([one.close?.(), two.close?.()]);
  });

  // Two archivers of one trail hold the lease in turn. The files are read by their numbers.
  it('begins another file if another sink was at work in between, so that records keep their order', async () => {
    const [one, two] = [directorySink(directory), directorySink(directory)];
    const records = new RecordMaker().session(5);
    let now = performance.now();
    const clock = vi.spyOn(performance, 'now').mockImplementation(() => now);
    onTestFinished(() => clock.mockRestore());
    for (const [at, sink] of [one, one, two, one, one, two].entries()) {
      now += 5_000;
      await sink.write(records.slice(at * 2, at * 2 + 2));
    }
    expect(await read()).toEqual(records);
    await Promise.all([one.close?.(), two.close?.()]);
    expect(await files()).toEqual([1, 2, 3, 4].map((n) => `2026-11-30.000${n}.jsonl.gz`));
    expect(await read()).toEqual(records);
  });

  it('keeps to its file while another sink writes at the same time', async () => {
    const [one, two] = [directorySink(directory), directorySink(directory)];
    for (const record of new RecordMaker().session(10)) {
      await Promise.all([one.write([record]), two.write([record])]);
    }
    expect(await files()).toHaveLength(2);
    await Promise.all([one.close?.(), two.close?.()]);
  });

  it('leaves neither a part of a line nor an empty file when the disk is full, and goes on', async () => {
    const script = new URL('support/write-until-full.ts', import.meta.url).pathname;
    const command = 'ulimit -f 100 && exec "$0" --import tsx "$1" "$2"';
    const { stdout } = await promisify(execFile)('bash', [
      ...['-c', command, process.execPath, script, directory],
    ]);
    const { tooLarge, left, refused } = JSON.parse(stdout) as Record<string, unknown[]>;
    expect({ tooLarge, left }).toEqual({ tooLarge: [true, true, true], left: [] });
    expect(refused?.length).toBeGreaterThan(2);
    expect(new Set(refused).size).toBe(refused?.length);
    const names = await files();
    expect(names).toHaveLength((refused?.length ?? 0) + 1);
    for (const name of names) expect(await readFile(join(directory, name), 'utf8')).toMatch(/}\n$/);
    expect((await read()).map(({ ordinal }) => ordinal)).toEqual(
      Array.from({ length: 420 }, (_, at) => 501 + at),
    );
  });

  it('rejects while the directory cannot be used, and says why', async () => {
    const path = join(directory, 'file');
    await writeFile(path, '');
    const sink = directorySink(path);
    const records = new RecordMaker().session(1);
    await expect(sink.write(records)).rejects.toThrow(/cannot make the directory .*file/);
    await rm(path);
    await sink.write(records);
    await sink.close?.();
    expect(await all(directoryTrail(path).records())).toEqual(records);
    expect((await stat(path)).mode & 0o777).toBe(0o700);
  });

  it('refuses options that make no sense', () => {
    expect(() => directorySink('')).toThrow(TypeError);
    expect(() => directorySink(directory, { maxFileBytes: 0 })).toThrow('maxFileBytes');
  });

  it('compresses what a dead process has left, but nothing that may still be written', async () => {
    const old = join(directory, '2026-11-01.0001.jsonl');
    const young = join(directory, '2026-11-02.0001.jsonl');
    const [first, second] = new RecordMaker(NOON - 29 * 24 * HOUR, 24 * HOUR).session(0);
    await writeFile(old, `${JSON.stringify(first)}\n`);
    await writeFile(young, `${JSON.stringify(second)}\n`);
    await utimes(old, new Date(), new Date(Date.now() - HOUR));
    const sink = directorySink(directory);
    await sink.write(new RecordMaker().session(1));
    await expect.poll(files).toContain('2026-11-01.0001.jsonl.gz');
    expect(await files()).toContain('2026-11-02.0001.jsonl');
    await sink.close?.();
    expect(await read({ until: NOON - 24 * HOUR })).toEqual([first, second]);
  });

  // If the clock jumps, another process may take a file for finished that is still written.
  it('writes into another file once its own was replaced, and loses nothing', async () => {
    const sink = directorySink(directory);
    const records = new RecordMaker().session(4);
    await sink.write(records.slice(0, 5));
    await compressFile(join(directory, '2026-11-30.0001.jsonl'));
    await expect(sink.write(records.slice(5))).rejects.toThrow('another process has replaced');
    await sink.write(records.slice(5));
    expect(await files()).toEqual(['2026-11-30.0001.jsonl.gz', '2026-11-30.0002.jsonl']);
    expect(await read()).toEqual(records);
    await sink.close?.();
  });

  // The twin of a crash: what was not acknowledged may be there or not, and no more than a part of one line is broken.
  it('loses no record that it has acknowledged when its process is killed', async () => {
    const script = new URL('support/write-until-killed.ts', import.meta.url).pathname;
    const child = spawn(process.execPath, ['--import', 'tsx', script, directory], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    onTestFinished(() => void child.kill('SIGKILL'));
    let acknowledged = 0;
    child.stdout.on('data', (data: Buffer) => {
      const lines = data.toString().trim().split('\n');
      acknowledged = Number(lines.at(-1));
      if (acknowledged > 200) child.kill('SIGKILL');
    });
    await once(child, 'exit');
    expect(acknowledged).toBeGreaterThan(200);
    const numbers = (await read()).map(({ ordinal }) => ordinal);
    expect(numbers.slice(0, acknowledged)).toEqual(
      Array.from({ length: acknowledged }, (_, at) => at + 1),
    );
  });
});

describe('a trail in a directory', () => {
  async function written(records: readonly AuditRecord[]): Promise<string> {
    const path = join(directory, '2026-11-30.0001.jsonl');
    await writeFile(path, records.map((record) => `${JSON.stringify(record)}\n`).join(''));
    return path;
  }

  it('says what is no record, and goes on behind it', async () => {
    const records = new RecordMaker().session(2);
    const [first, ...rest] = records;
    const path = await written(first === undefined ? [] : [first]);
    await appendFile(path, 'not JSON\n{"v":1}\n[]\n\n');
    await appendFile(path, rest.map((record) => `${JSON.stringify(record)}\n`).join(''));
    // A process was killed while it wrote this line, which was never acknowledged.
    await appendFile(path, '{"v":1,"session":"half');
    const unreadable: string[] = [];
    const found = await all(
      directoryTrail(directory).records({}, (where) => unreadable.push(where)),
    );
    expect(found).toEqual(records);
    expect(unreadable).toEqual([2, 3, 4, 5].map((n) => `line ${n} of 2026-11-30.0001.jsonl`));
  });

  it('says that a compressed file is damaged', async () => {
    const records = new RecordMaker().session(200);
    const text = records.map((record) => `${JSON.stringify(record)}\n`).join('');
    const packed = gzipSync(text);
    await writeFile(
      join(directory, '2026-11-30.0001.jsonl.gz'),
      packed.subarray(0, packed.length / 2),
    );
    const unreadable: string[] = [];
    await all(directoryTrail(directory).records({}, (where) => unreadable.push(where)));
    expect(unreadable).toEqual(['the rest of 2026-11-30.0001.jsonl.gz']);
  });

  it('finds records by session, principal, tool, method, outcome and time', async () => {
    const maker = new RecordMaker();
    const [alice, bob] = [maker.session(2), maker.session(2, { principal: 'bob' })];
    const guest = maker.next('guest');
    delete guest.principal;
    await written([...alice, ...bob, guest]);
    expect(await read({ principal: 'bob' })).toEqual(bob);
    expect(await read({ principal: null })).toEqual([guest]);
    expect(await read({ session: alice[0]?.session })).toEqual(alice);
    expect(await read({ tool: 'echo', outcome: 'ok' })).toHaveLength(4);
    expect(await read({ method: 'tools/call' })).toHaveLength(8);
    const [from, until] = [bob[0]?.at ?? 0, bob.at(-1)?.at ?? 0];
    expect(await read({ from, until })).toEqual(bob.slice(0, -1));
    expect(await read({ from: NOON + 24 * HOUR })).toEqual([]);
  });

  it('says that there is no such directory', async () => {
    const missing = join(directory, 'missing');
    await expect(all(directoryTrail(missing).records())).rejects.toThrow('it does not exist');
  });

  it('erases the payloads of one principal, and leaves everything else byte for byte', async () => {
    const maker = new RecordMaker();
    const [alice, bob] = [maker.session(2), maker.session(2, { principal: 'bob' })];
    const sink = directorySink(directory);
    await sink.write([...alice, ...bob]);
    const trail = directoryTrail(directory);
    await expect(trail.erase('bob')).rejects.toThrow('2026-11-30.0001.jsonl may still be written');
    await sink.close?.();
    expect(await trail.erase('bob')).toBe(4);
    expect(await trail.erase('bob')).toBe(0);
    const found = await read();
    expect(found.slice(0, alice.length)).toEqual(alice);
    for (const [at, record] of found.slice(alice.length).entries()) {
      const { message, salt: _, ...rest } = bob[at] ?? ({} as never);
      expect(record).toEqual(message === undefined ? rest : { ...rest, erased: true });
    }
    const [name = ''] = await files();
    expect(gunzipSync(await readFile(join(directory, name))).toString()).not.toContain(
      `${bob[0]?.session ?? ''} 1`,
    );
    expect(await files()).toEqual([name]);
  });

  it('is read whole while a sink writes and compresses it', async () => {
    const sink = directorySink(directory, { maxFileBytes: 20_000 });
    const records = Array.from({ length: 40 }, () => maker.session(10)).flat();
    const writing = (async () => {
      for (let at = 0; at < records.length; at += 20) await sink.write(records.slice(at, at + 20));
      await sink.close?.();
    })();
    let least = 0;
    while ((await Promise.race([writing, Promise.resolve('writes')])) === 'writes') {
      const found = await read().catch((error: unknown) => {
        if (String(error).includes('does not exist')) return [];
        throw error;
      });
      expect(found).toEqual(records.slice(0, found.length));
      expect(found.length).toBeGreaterThanOrEqual(least);
      least = found.length;
    }
    expect(await read()).toEqual(records);
  });
});

const maker = new RecordMaker(NOON, 1);
