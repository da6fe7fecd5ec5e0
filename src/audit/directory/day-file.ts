import { open, rm, stat } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { isExisting, isMissing, listFiles, nameOf, syncDirectory } from './trail-files.js';

/** The most bytes of one call that writes. */
const CHUNK_BYTES = 1024 * 1024;

/** A file that a sink writes. No other sink writes it, because only one can make a file of its name. */
export class DayFile {
  /** The bytes that are durable, all of them whole lines. */
  bytes = 0;
  private usedAt = performance.now();

  private constructor(
    readonly path: string,
    private readonly day: string,
    private readonly number: number,
    private readonly handle: FileHandle,
  ) {}

  /** Makes the next file of a day. */
  static async create(directory: string, day: string): Promise<DayFile> {
    const files = await listFiles(directory);
    let number = 0;
    for (const file of files) if (file.day === day) number = Math.max(number, file.number);
    for (;;) {
      number += 1;
      const path = join(directory, nameOf(day, number));
      const handle = await openNew(path);
      // Another sink has just made a file of this number.
      if (handle === undefined) continue;
      const file = new DayFile(path, day, number, handle);
      try {
        const isTaken = await isCompressed(path);
        if (!isTaken) {
          await syncDirectory(directory);
          return file;
        }
      } catch (error) {
        await file.giveUp().catch(() => undefined);
        throw error;
      }
      await file.giveUp();
    }
  }

  /** True if the file was not written for so long that others may take it for finished. */
  isOlderThan(ms: number): boolean {
    return performance.now() - this.usedAt > ms;
  }

  /**
   * True if another sink has made a later file of the day. Its records are read after those of this file, so records that come
   * after them must not be written here.
   */
  async hasLater(): Promise<boolean> {
    const files = await listFiles(dirname(this.path));
    return files.some(({ day, number }) => day === this.day && number > this.number);
  }

  /**
   * Adds lines, and resolves when they are durable. If it rejects, the file must not be written any more: it may end with a
   * part of a line, unless that could be removed.
   */
  async add(lines: readonly string[]): Promise<void> {
    try {
      await this.requireName();
      const began = this.bytes;
      let written = 0;
      for (const chunk of chunksOf(lines)) {
        let at = 0;
        while (at < chunk.length) {
          const { bytesWritten } = await this.handle.write(chunk, at, null, began + written);
          at += bytesWritten;
          written += bytesWritten;
        }
      }
      await this.handle.datasync();
      await this.requireName();
      this.bytes += written;
      this.usedAt = performance.now();
    } catch (error) {
      await this.handle.truncate(this.bytes).catch(() => undefined);
      throw error;
    }
  }

  /**
   * Throws if the file has been compressed or rewritten by another process, which took it for finished. That happens if the
   * clock has jumped. What was written since would be lost with this file.
   */
  private async requireName(): Promise<void> {
    if ((await this.handle.stat()).nlink > 0) return;
    throw new Error(`mcp-anynode: another process has replaced ${this.path}`);
  }

  async close(): Promise<void> {
    await this.handle.close();
  }

  /** Closes the file after an error, and removes it if nothing durable is in it. */
  async giveUp(): Promise<void> {
    try {
      const isEmpty = this.bytes === 0 && (await this.handle.stat()).nlink > 0;
      if (isEmpty) await rm(this.path, { force: true });
    } finally {
      await this.close();
    }
  }
}

/** Makes a file. Resolves with `undefined` if it is there. */
async function openNew(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, 'wx', 0o600);
  } catch (error) {
    if (isExisting(error)) return undefined;
    throw error;
  }
}

/**
 * True if another sink has made, finished and compressed a file of this name since the directory was listed. If it has, the
 * compressed file is there, because it gets its name before the plain one goes.
 */
async function isCompressed(path: string): Promise<boolean> {
  try {
    await stat(`${path}.gz`);
    return true;
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}

function* chunksOf(lines: readonly string[]): Generator<Buffer> {
  let chunk: string[] = [];
  let length = 0;
  for (const line of lines) {
    chunk.push(line);
    length += line.length;
    if (length < CHUNK_BYTES) continue;
    yield Buffer.from(chunk.join(''));
    chunk = [];
    length = 0;
  }
  if (length > 0) yield Buffer.from(chunk.join(''));
}
