import { mkdir, rm, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { onOneLine } from '../../protocol/json/json-text.js';
import type { AuditRecord, AuditSink } from '../record.js';
import { compressFile } from './compress-file.js';
import { DayFile } from './day-file.js';
import { removeAbandoned } from './replace-file.js';
import { dayOf, FINISHED_MS, isFinished, listFiles, syncDirectory, timeIn } from './trail-files.js';

export interface DirectorySinkOptions {
  /** A file that has as many bytes is followed by another one of the same day. Default 256 MiB. */
  maxFileBytes?: number | undefined;
  /** Whether a file is compressed with `gzip` when nothing more is written into it. Default `true`. */
  compress?: boolean | undefined;
}

const MAX_FILE_BYTES = 256 * 1024 * 1024;
/** Half of the time after which others take a file for finished. */
const IDLE_MS = FINISHED_MS / 2;
/**
 * After a pause of this length, another archiver may have been at work in between. Sinks do not look for its files before, so
 * that two of them that write at the same time do not begin a file for each batch.
 */
const PAUSE_MS = 1_000;
const DAY_MS = 24 * 60 * 60_000;
/** Records of two days come in turn around midnight. */
const MOST_OPEN = 2;

/**
 * Makes a sink that writes JSON Lines into a directory: files `2026-11-30.0001.jsonl` of the day (UTC) of the records, one
 * record on a line. Each sink makes files of its own, so several processes may use one directory. A batch is durable (`fsync`)
 * before `write` resolves. Files are for their owner only, and so is the directory, if the sink makes it.
 *
 * `write` rejects if the directory cannot be made or written. The records can then be written again. It does not remove old
 * files. Throws a `TypeError` for options that make no sense.
 */
export function directorySink(
  directory: string,
  { maxFileBytes = MAX_FILE_BYTES, compress = true }: DirectorySinkOptions = {},
): AuditSink {
  if (directory === '') throw new TypeError('mcp-anynode: the directory has no name');
  if (!Number.isSafeInteger(maxFileBytes) || maxFileBytes < 1) {
    throw new TypeError('mcp-anynode: `maxFileBytes` has to be a whole number of at least 1');
  }
  return new DirectorySink(resolve(directory), maxFileBytes, compress);
}

class DirectorySink implements AuditSink {
  private readonly files = new Map<string, DayFile>();
  private ready: Promise<void> | undefined;
  /** The last compression, or a resolved promise. Files are compressed one after another. */
  private compressing: Promise<void> = Promise.resolve();
  /** The batch before, since batches are written one after another. */
  private writing: Promise<void> = Promise.resolve();

  constructor(
    private readonly directory: string,
    private readonly maxFileBytes: number,
    private readonly compress: boolean,
  ) {}

  write(records: readonly AuditRecord[]): Promise<void> {
    const done = this.writing.then(() => this.store(records));
    this.writing = done.catch(() => undefined);
    return done;
  }

  async close(): Promise<void> {
    await this.writing;
    await Promise.all([...this.files.keys()].map((day) => this.finish(day)));
    await this.compressing;
  }

  private async store(records: readonly AuditRecord[]): Promise<void> {
    this.ready ??= this.prepare();
    await this.ready.catch((error: unknown) => {
      this.ready = undefined;
      throw error;
    });
    const days = new Map<string, string[]>();
    let [number, day] = [Number.NaN, ''];
    for (const record of records) {
      const today = Math.floor(record.at / DAY_MS);
      if (today !== number) [number, day] = [today, dayOf(record.at)];
      const line = `${onOneLine(JSON.stringify(record))}\n`;
      const lines = days.get(day);
      if (lines === undefined) days.set(day, [line]);
      else lines.push(line);
    }
    // In the order of the days, as the records of a session are read.
    for (const [day, lines] of [...days].sort(([a], [b]) => (a < b ? -1 : 1))) {
      await this.storeDay(day, lines);
    }
  }

  private async storeDay(day: string, lines: readonly string[]): Promise<void> {
    let file = this.files.get(day);
    if (file !== undefined && (await isOver(file))) {
      await this.finish(day);
      file = undefined;
    }
    if (file === undefined) {
      file = await DayFile.create(this.directory, day);
      this.files.set(day, file);
      await this.finishOthers(day);
    }
    try {
      await file.add(lines);
    } catch (error) {
      // The next try writes into a new file. Records that were stored before the error are in two files then, which is harmless.
      this.files.delete(day);
      await file.giveUp().catch(() => undefined);
      throw error;
    }
    if (file.bytes >= this.maxFileBytes) await this.finish(day);
  }

  /** Finishes the oldest files, if too many are open. */
  private async finishOthers(day: string): Promise<void> {
    for (const other of [...this.files.keys()].sort()) {
      if (this.files.size <= MOST_OPEN) return;
      if (other !== day) await this.finish(other);
    }
  }

  private async finish(day: string): Promise<void> {
    const file = this.files.get(day);
    if (file === undefined) return;
    this.files.delete(day);
    await file.close();
    this.compressLater(file.path, file.bytes);
  }

  private compressLater(path: string, bytes: number): void {
    if (bytes === 0) {
      this.compressing = this.compressing
        .then(() => rm(path, { force: true }))
        .catch(() => undefined);
    } else if (this.compress) {
      // The plain file stays if this fails, and is read in its place. The next sink tries again.
      this.compressing = this.compressing.then(() => compressFile(path)).catch(() => undefined);
    }
  }

  /** Makes the directory, and compresses files that dead processes have left. */
  private async prepare(): Promise<void> {
    const { directory } = this;
    const made = await mkdir(directory, { recursive: true, mode: 0o700 }).catch(
      (error: unknown) => {
        throw cannot(`make the directory ${directory}`, error);
      },
    );
    if (made !== undefined) await syncAbove(directory, made);
    if (!(await stat(directory)).isDirectory()) {
      throw new Error(`mcp-anynode: ${directory} is not a directory`);
    }
    const files = await listFiles(directory).catch((error: unknown) => {
      throw cannot(`read the directory ${directory}`, error);
    });
    await removeAbandoned(directory).catch(() => undefined);
    if (files.every(({ isCompressed }) => isCompressed)) return;
    const now = await timeIn(directory);
    for (const file of files) {
      if (!file.isCompressed && (await isFinished(file, now).catch(() => false))) {
        // It may be gone by now, because another process has compressed it.
        const found = await stat(file.path).catch(() => undefined);
        if (found !== undefined) this.compressLater(file.path, found.size);
      }
    }
  }
}

/** Makes the names of new directories durable, of which `first` is the uppermost. */
async function syncAbove(directory: string, first: string): Promise<void> {
  for (let path = directory; path.length >= first.length; path = dirname(path)) {
    // The user may have no right to open a directory above.
    await syncDirectory(dirname(path)).catch(() => undefined);
  }
}

/** True if nothing more must be written into a file. */
async function isOver(file: DayFile): Promise<boolean> {
  // Others may have compressed or rewritten it since.
  if (file.isOlderThan(IDLE_MS)) return true;
  return file.isOlderThan(PAUSE_MS) && (await file.hasLater());
}

function cannot(what: string, cause: unknown): Error {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new Error(`mcp-anynode: the audit trail cannot ${what}: ${reason}`, { cause });
}
