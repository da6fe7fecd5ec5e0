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
  if (typeof parsed === 'string' || Buffer.isBuffer(parsed)) return parse(parsed.toString());
  if (parsed !== undefined && (req.readableEnded || req.complete)) return parsed;
  return parse(await readText(req, maxBytes));
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw new RefusalError(REFUSALS.invalidJson);
  }
}

/** Stops at the limit; a declared length over it is refused without reading. */
async function readText(req: Request, maxBytes: number): Promise<string> {
  if (Number(req.headers['content-length']) > maxBytes) {
    throw new RefusalError(bodyTooLarge(maxBytes));
  }
  const chunks: Buffer[] = [];
  let received = 0;
  try {
    for await (const chunk of req as AsyncIterable<Buffer>) {
      received += chunk.length;
      if (received > maxBytes) break;
      chunks.push(chunk);
    }
  } catch {
    throw new RefusalError(REFUSALS.invalidJson); // the client went away in the middle
  }
  if (received > maxBytes) throw new RefusalError(bodyTooLarge(maxBytes));
  return Buffer.concat(chunks).toString();
}
