/** The files of an audit trail in a directory. */
import { randomUUID } from 'node:crypto';
import { open, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** One file: `<day>.<number>.jsonl`, or the same with `.gz`. It has records of one day (UTC), and one sink has written it. */
export interface TrailFile {
  /** Such as `2026-11-30`. */
  day: string;
  number: number;
  name: string;
  path: string;
  isCompressed: boolean;
}

const NAME = /^(\d{4}-\d\d-\d\d)\.(\d{4,9})\.jsonl(\.gz)?$/;
/** The ending of a file that is being written in place of another one. */
export const TEMPORARY = '.tmp';

/**
 * A file that was not written for this long is not written any more. A sink that comes back to it begins a new file. So others
 * may compress it, or rewrite it.
 */
export const FINISHED_MS = 10 * 60_000;

export function nameOf(day: string, number: number): string {
  return `${day}.${String(number).padStart(4, '0')}.jsonl`;
}

const LAST_DAY = Date.UTC(9999, 11, 31);

/** Returns the day of a time, in UTC. A time that no file can be named after counts as the last day. */
export function dayOf(at: number): string {
  return new Date(at >= 0 && at < LAST_DAY ? at : LAST_DAY).toISOString().slice(0, 10);
}

/**
 * Lists the files that have the records, by day and number. If a compressed file is there, the plain one of the same number is
 * what it was made of, and is left out. Rejects if the directory cannot be read.
 */
export async function listFiles(directory: string): Promise<TrailFile[]> {
  const files = await listAllFiles(directory);
  const names = new Set(files.map(({ name }) => name));
  return files.filter(({ name }) => !names.has(`${name}.gz`));
}

/**
 * Lists all files, by day and number. A crash may have left a plain file beside the compressed one. Files that were just compressed
 * or removed may be listed under the name that they had.
 */
export async function listAllFiles(directory: string): Promise<TrailFile[]> {
  const files: TrailFile[] = [];
  // A large directory is listed in several steps. A file that gets another name between them may be missing, but in one of two lists only.
  const names = new Set([...(await readdir(directory)), ...(await readdir(directory))]);
  for (const name of names) {
    const [, day, number, gz] = NAME.exec(name) ?? [];
    if (day === undefined || number === undefined) continue;
    const path = join(directory, name);
    files.push({ day, number: Number(number), name, path, isCompressed: gz !== undefined });
  }
  return files.sort((a, b) => (a.day === b.day ? a.number - b.number : a.day < b.day ? -1 : 1));
}

/** True if no sink writes into the file any more. `now` is the time of {@link timeIn} its directory. */
export async function isFinished({ path, isCompressed }: TrailFile, now: number): Promise<boolean> {
  return isCompressed || now - (await stat(path)).mtimeMs > FINISHED_MS;
}

/**
 * Returns the time by which files in a directory are dated, in milliseconds since the epoch. The clock of this machine may be
 * another one than that of the machine which has the directory.
 */
export async function timeIn(directory: string): Promise<number> {
  const path = join(directory, `${randomUUID()}${TEMPORARY}`);
  try {
    await writeFile(path, '', { flag: 'wx', mode: 0o600 });
    return (await stat(path)).mtimeMs;
  } finally {
    await rm(path, { force: true });
  }
}

/** Makes the names of a directory durable. */
export async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

export function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}

export function isExisting(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'EEXIST';
}
