/** Reads the lines of a file, which may be compressed, with bounded memory. */
import { constants } from 'node:buffer';
import type { FileHandle } from 'node:fs/promises';
import { open } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import type { TrailFile } from './trail-files.js';
import { isMissing } from './trail-files.js';

/** A record has at most about the bytes of its message, which are bounded by `maxBodyBytes` and `upstreamMessageBytes`. */
const MOST_BYTES = Math.min(512 * 1024 * 1024, constants.MAX_STRING_LENGTH);

/** A line of a file without its end. */
export interface Line {
  /** Counted from 1. */
  number: number;
  /** `undefined`: the line is too long to be read. */
  bytes: Buffer | undefined;
  /** False if the file ends before the line does. */
  isWhole: boolean;
}

/**
 * Opens a file. If a plain file is gone, it has been compressed meanwhile, and the compressed one is opened. Resolves with
 * `undefined` if that is gone too, because it was removed.
 */
async function openFile(file: TrailFile): Promise<{ handle: FileHandle; gz: boolean } | undefined> {
  const attempts = file.isCompressed
    ? [{ path: file.path, gz: true }]
    : [
        { path: file.path, gz: false },
        { path: `${file.path}.gz`, gz: true },
      ];
  for (const { path, gz } of attempts) {
    try {
      return { handle: await open(path, 'r'), gz };
    } catch (error) {
      if (!isMissing(error)) throw error;
    }
  }
  return undefined;
}

/** Reads all lines of a file. Throws what reading throws, for instance for a compressed file that is damaged. */
export async function* linesOf(file: TrailFile): AsyncGenerator<Line, void, undefined> {
  const opened = await openFile(file);
  if (opened === undefined) return;
  const raw = opened.handle.createReadStream({ highWaterMark: 256 * 1024 });
  let chunks: Readable = raw;
  if (opened.gz) {
    const gunzip = createGunzip();
    raw.on('error', (error) => gunzip.destroy(error));
    chunks = raw.pipe(gunzip);
  }
  try {
    yield* split(chunks);
  } finally {
    chunks.destroy();
    raw.destroy();
  }
}

async function* split(chunks: AsyncIterable<Buffer>): AsyncGenerator<Line, void, undefined> {
  let pending: Buffer[] = [];
  let size = 0;
  let number = 1;
  const take = (isWhole: boolean): Line => {
    const bytes = size > MOST_BYTES ? undefined : Buffer.concat(pending);
    const line = { number, bytes, isWhole };
    [pending, size] = [[], 0];
    number += 1;
    return line;
  };
  for await (const chunk of chunks) {
    let from = 0;
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, from)) {
      pending.push(chunk.subarray(from, end));
      size += end - from;
      yield take(true);
      from = end + 1;
    }
    const rest = chunk.subarray(from);
    size += rest.length;
    // The rest of a line that is too long is only counted.
    if (size > MOST_BYTES) pending = [];
    else if (rest.length > 0) pending.push(rest);
  }
  if (size > 0) yield take(false);
}
