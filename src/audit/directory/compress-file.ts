import { createReadStream, createWriteStream } from 'node:fs';
import { rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { syncDirectory, TEMPORARY } from './trail-files.js';

/**
 * Compresses a file that is not written any more, and removes the plain one. The compressed file gets its name once it is
 * complete and durable, so a crash leaves at least one of both whole. Rejects if that fails; the plain file stays then.
 */
export async function compressFile(path: string): Promise<void> {
  const target = `${path}.gz`;
  const temporary = `${target}${TEMPORARY}`;
  try {
    const source = createReadStream(path);
    await pipeline(
      source,
      createGzip(),
      createWriteStream(temporary, { mode: 0o600, flush: true }),
    );
    if ((await stat(path)).size !== source.bytesRead) throw new Error(`${path} is still written`);
    await rename(temporary, target);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await syncDirectory(dirname(path));
  await rm(path, { force: true });
}
