import type { Request } from 'express';
import type { JsonRpcMessage } from '../protocol/jsonrpc.js';
import { isMessage } from '../protocol/jsonrpc.js';
import { batchTooLarge, bodyTooLarge, RefusalError, REFUSALS } from './reply.js';

/** The SDK's bound. */
const MOST_IN_BATCH = 100;

/** The messages of a POST. A body that `express.json()` has parsed is used as it is; else it is read here, up to `maxBytes`. */
export async function readMessages(
  req: Request,
  maxBytes: number,
): Promise<{ messages: JsonRpcMessage[]; batch: boolean }> {
  const body: unknown = await readBody(req, maxBytes);
  const batch = Array.isArray(body);
  const list: unknown[] = batch ? body : [body];
  if (list.length > MOST_IN_BATCH) throw new RefusalError(batchTooLarge(MOST_IN_BATCH));
  if (!list.every(isMessage)) throw new RefusalError(REFUSALS.invalidMessage);
  return { messages: list, batch };
}

async function readBody(req: Request, maxBytes: number): Promise<unknown> {
  const parsed: unknown = req.body;
  if (typeof parsed === 'string') return parse(parsed);
  if (Buffer.isBuffer(parsed)) return parse(decode(parsed));
  // A parser that was not meant for this body leaves `{}` behind (Express 4), and the body unread.
  const isLeftOver = !req.readableEnded && isEmpty(parsed);
  if (parsed !== undefined && !isLeftOver) return parsed;
  return parse(await readText(req, maxBytes));
}

function isEmpty(value: unknown): boolean {
  return typeof value === 'object' && value !== null && Object.keys(value).length === 0;
}

/** As the Fetch standard reads a body: a byte order mark in front is none of the text. */
function decode(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw new RefusalError(REFUSALS.invalidJson);
  }
}

/** Stops at the limit; a declared length over it is refused without reading. The rest of the body is thrown away. */
async function readText(req: Request, maxBytes: number): Promise<string> {
  if (Number(req.headers['content-length']) > maxBytes) {
    throw new RefusalError(bodyTooLarge(maxBytes));
  }
  return new Promise((resolve, reject) => {
    let chunks: Buffer[] = [];
    let received = 0;
    req.on('data', (chunk: Buffer) => {
      received += chunk.length;
      if (received > maxBytes) {
        chunks = [];
        reject(new RefusalError(bodyTooLarge(maxBytes)));
      } else {
        chunks.push(chunk);
      }
    });
    req.on('end', () => resolve(decode(Buffer.concat(chunks))));
    // The client went away in the middle: nobody reads the answer.
    req.on('close', () => reject(new RefusalError(REFUSALS.invalidJson)));
    req.on('error', () => reject(new RefusalError(REFUSALS.invalidJson)));
  });
}
