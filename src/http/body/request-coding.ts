/** Decompresses bodies of requests (RFC 9110, section 8.4). */
import { promisify } from 'node:util';
import { brotliDecompress, gunzip, inflate, inflateRaw } from 'node:zlib';
import type { Request } from 'express';
import { headerOf } from '../incoming-request.js';
import type { Refusal } from '../response/refusals.js';
import { RefusalError, REFUSALS } from '../response/refusals.js';

export type Coding = 'gzip' | 'deflate' | 'br';

const DECODERS = {
  gzip: promisify(gunzip),
  br: promisify(brotliDecompress),
  deflate: promisify(inflate),
  /** Deflate without the frame of zlib, which some clients send as `deflate`. */
  raw: promisify(inflateRaw),
};

const CODINGS: Record<string, Coding | undefined> = {
  ...{ gzip: 'gzip', 'x-gzip': 'gzip', deflate: 'deflate', br: 'br' },
};

/** Returns how the body of this request is compressed, or `undefined` if it is not. Refuses unknown encodings with 415. */
export function codingOf(req: Request): Coding | undefined {
  const given = headerOf(req, 'content-encoding')?.trim().toLowerCase() ?? '';
  if (given === '' || given === 'identity') return undefined;
  const coding = Object.hasOwn(CODINGS, given) ? CODINGS[given] : undefined;
  if (coding === undefined) throw new RefusalError(REFUSALS.contentCoding);
  return coding;
}

/** Decompresses up to `maxBytes`. A longer result is refused with `tooLarge`. */
export async function decompress(
  bytes: Buffer,
  coding: Coding,
  { maxBytes, tooLarge }: { maxBytes: number; tooLarge: Refusal },
): Promise<Buffer> {
  const isRaw = coding === 'deflate' && ((bytes[0] ?? 8) & 0x0f) !== 8;
  try {
    return await DECODERS[isRaw ? 'raw' : coding](bytes, { maxOutputLength: maxBytes });
  } catch (error) {
    const isTooLarge = (error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE';
    throw new RefusalError(isTooLarge ? tooLarge : REFUSALS.undecodableBody);
  }
}
