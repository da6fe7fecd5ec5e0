/** Decompresses the bodies of responses of a server behind this library. */
import type { IncomingMessage } from 'node:http';
import { pipeline, type Transform } from 'node:stream';
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib';

/** The members of a response that are needed to read its body. */
export type ResponseBody = Pick<
  IncomingMessage,
  'setEncoding' | 'on' | 'once' | 'pause' | 'resume' | 'destroy' | 'destroyed' | 'complete'
>;

const DECODERS: Record<string, (() => Transform) | undefined> = {
  gzip: createGunzip,
  'x-gzip': createGunzip,
  deflate: createInflate,
  br: createBrotliDecompress,
};

/** True if the body of this response can be decoded. */
export function isReadable(response: IncomingMessage): boolean {
  const coding = codingOf(response);
  return coding === undefined || Object.hasOwn(DECODERS, coding);
}

/**
 * Returns the decompressed body. Each piece of an event stream comes out as soon as it has come in. Destroying the body or
 * the response destroys both.
 */
export function bodyOf(response: IncomingMessage): ResponseBody {
  const coding = codingOf(response);
  const decoder = coding === undefined ? undefined : DECODERS[coding]?.();
  if (decoder === undefined) return response;
  // The reader of the body notices when it breaks off.
  decoder.on('error', () => undefined);
  pipeline(response, decoder, () => undefined);
  return Object.defineProperty(decoder, 'complete', {
    get: () => decoder.readableEnded,
  }) as Transform & { complete: boolean } as unknown as ResponseBody;
}

function codingOf({ headers }: IncomingMessage): string | undefined {
  const given = headers['content-encoding']?.trim().toLowerCase() ?? '';
  return given === '' || given === 'identity' ? undefined : given;
}
