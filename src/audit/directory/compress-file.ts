import { createReadStream } from 'node:fs';
import { rm, stat } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { replaceFile, writeChunks } from './replace-file.js';

/**
 * Compresses a file that is not written any more, and removes the plain one. The compressed file gets its name once it is
 * complete and durable, so a crash leaves at least one of both whole. Rejects if that fails; the plain file stays then.
 */
export async function compressFile(path: string): Promise<void> {
  await replaceFile(path, `${path}.gz`, async (handle) => {
    const source = createReadStream(path);
    await pipeline(source, createGzip(), (packed: AsyncIterable<Buffer>) =>
      writeChunks(handle, packed),
    );
    if ((await stat(path)).size !== source.bytesRead) throw new Error(`${path} is still written`);
  });
  await rm(path, { force: true });
}
