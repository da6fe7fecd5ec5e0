/** Replaces a file of a trail by what is made of it: compressed, or without some payloads. */
import type { FileHandle } from 'node:fs/promises';
import { open, readdir, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { isExisting, isMissing, syncDirectory, TEMPORARY, timeIn } from './trail-files.js';

/** A temporary file that was not written for this long has been left by a dead process. */
const ABANDONED_MS = 60_000;
const WRITE_BYTES = 256 * 1024;
/** What this library names temporary files, in this version and earlier ones. */
const TEMPORARY_NAME = /^(\d{4}-\d\d-\d\d\.\d{4,9}\.jsonl(\.gz)?|[\da-f-]{36})\.tmp$/;

/** Another process is replacing the same file. */
export class FileInUse extends Error {}

/**
 * Makes a file anew and puts it at `target`, durably. `plain` is the path without `.gz`. While `make` writes, no other process
 * can replace the file with that path, compressed or not. So `make` has to read the file after it was called.
 *
 * Rejects with {@link FileInUse} if another process replaces the file already. A crash leaves a temporary file, which holds
 * others off for a minute.
 */
export async function replaceFile(
  plain: string,
  target: string,
  make: (handle: FileHandle) => Promise<void>,
): Promise<void> {
  const temporary = `${plain}${TEMPORARY}`;
  const handle = await openAlone(temporary);
  try {
    await make(handle);
    await handle.sync();
    // A process that was paused for long may find the temporary file of another one in this place.
    if (!(await isAt(handle, temporary))) throw inUse(temporary);
    await rename(temporary, target);
  } catch (error) {
    if (await isAt(handle, temporary)) await rm(temporary, { force: true });
    throw error;
  } finally {
    await handle.close();
  }
  await syncDirectory(dirname(target));
}

/** Writes chunks behind what is in a file, several small ones together. */
export async function writeChunks(
  handle: FileHandle,
  chunks: AsyncIterable<Uint8Array>,
): Promise<void> {
  let waiting: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of chunks) {
    waiting.push(chunk);
    size += chunk.length;
    if (size < WRITE_BYTES) continue;
    await handle.writeFile(Buffer.concat(waiting));
    [waiting, size] = [[], 0];
  }
  if (size > 0) await handle.writeFile(Buffer.concat(waiting));
}

/** Removes temporary files that dead processes have left. They may have payloads. */
export async function removeAbandoned(directory: string): Promise<void> {
  const names = (await readdir(directory)).filter((name) => TEMPORARY_NAME.test(name));
  if (names.length === 0) return;
  const now = await timeIn(directory);
  for (const name of names) {
    const path = join(directory, name);
    if (await isAbandoned(path, now)) await rm(path, { force: true });
  }
}

async function openAlone(path: string): Promise<FileHandle> {
  try {
    return await open(path, 'wx', 0o600);
  } catch (error) {
    if (!isExisting(error)) throw error;
    if (!(await isAbandoned(path, await timeIn(dirname(path))))) throw inUse(path);
  }
  await rm(path, { force: true });
  return open(path, 'wx', 0o600).catch((error: unknown) => {
    throw isExisting(error) ? inUse(path) : error;
  });
}

/** False if the file is gone. */
async function isAbandoned(path: string, now: number): Promise<boolean> {
  try {
    return now - (await stat(path)).mtimeMs > ABANDONED_MS;
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}

async function isAt(handle: FileHandle, path: string): Promise<boolean> {
  try {
    const [mine, there] = await Promise.all([handle.stat(), stat(path)]);
    return mine.ino === there.ino && mine.dev === there.dev;
  } catch {
    return false;
  }
}

function inUse(path: string): FileInUse {
  return new FileInUse(`mcp-anynode: another process writes ${path}`);
}
