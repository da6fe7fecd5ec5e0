/** Bodies of responses that a server behind this library has compressed. */
import type { IncomingMessage } from 'node:http';
import { pipeline, type Transform } from 'node:stream';
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib';

/** As much of a response as is needed to read its body. */
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

/** Whether the body of this response can be read here. */
export function isReadable(response: IncomingMessage): boolean {
  const coding = codingOf(response);
  return coding === undefined || Object.hasOwn(DECODERS, coding);
}

/**
 * The body as it was before it was compressed. Each piece of an event stream comes out as soon as it has come in. Body and
 * response end together: to destroy one destroys the other.
 */
export function bodyOf(response: IncomingMessage): ResponseBody {
  const coding = codingOf(response);
  const decoder = coding === undefined ? undefined : DECODERS[coding]?.();
  if (decoder === undefined) return response;
  // What breaks off is noticed by whoever reads it.
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
