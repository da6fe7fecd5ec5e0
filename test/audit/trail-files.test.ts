import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, expect, it, onTestFinished, vi } from 'vitest';
import { DayFile } from '../../src/audit/directory/day-file.js';
import * as trailFiles from '../../src/audit/directory/trail-files.js';

/** If set, it stands for a listing that was made a while ago. */
let earlier: trailFiles.TrailFile[] | undefined;
vi.mock('../../src/audit/directory/trail-files.js', async (original) => {
  const actual = await original<typeof trailFiles>();
  const listFiles = (path: string) =>
    earlier === undefined ? actual.listFiles(path) : Promise.resolve(earlier);
  return { ...actual, listFiles };
});

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'anynode-files-'));
  earlier = undefined;
  return () => rm(directory, { recursive: true, force: true });
});

// The system lists a large directory in several steps, and a file may change its name between two of them.
it('lists each file of a large directory while they are compressed', async () => {
  const count = 3_000;
  for (let at = 1; at <= count; at += 1) {
    await writeFile(join(directory, trailFiles.nameOf('2026-11-30', at)), '');
  }
  const script = new URL('support/compress-names.ts', import.meta.url).pathname;
  const child = spawn(process.execPath, ['--import', 'tsx', script, directory], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  await once(child.stdout, 'data');
  const counts = new Set<number>();
  do counts.add((await trailFiles.listFiles(directory)).length);
  while (child.exitCode === null);
  expect([...counts]).toEqual([count]);
  expect((await readdir(directory)).every((name) => name.endsWith('.gz'))).toBe(true);
});

// A sink that is paused between its look and its new file would write into one that readers leave out.
it('makes no file whose compressed one has come since the directory was listed', async () => {
  await writeFile(join(directory, '2026-11-30.0001.jsonl.gz'), '');
  earlier = [];
  const file = await DayFile.create(directory, '2026-11-30');
  expect(file.path).toBe(join(directory, '2026-11-30.0002.jsonl'));
  expect((await readdir(directory)).sort()).toEqual([
    '2026-11-30.0001.jsonl.gz',
    '2026-11-30.0002.jsonl',
  ]);
  await file.close();
});
