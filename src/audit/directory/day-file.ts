import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { listFiles, nameOf, syncDirectory } from './trail-files.js';

/** The most bytes of one call that writes. */
const CHUNK_BYTES = 1024 * 1024;

/** A file that a sink writes. No other sink writes it, because only one can make a file of its name. */
export class DayFile {
  /** The bytes that are durable, all of them whole lines. */
  bytes = 0;
  private usedAt = performance.now();

  private constructor(
    readonly path: string,
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
      try {
        const handle = await open(path, 'wx', 0o600);
        const file = new DayFile(path, handle);
        await syncDirectory(directory).catch(async (error: unknown) => {
          await handle.close();
          throw error;
        });
        return file;
      } catch (error) {
        // Another sink has just made a file of this number.
        if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
      }
    }
  }

  /** True if the file was not written for so long that others may take it for finished. */
  isOlderThan(ms: number): boolean {
    return performance.now() - this.usedAt > ms;
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
