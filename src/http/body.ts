import type { Request } from 'express';
import type { JsonRpcMessage } from '../protocol/jsonrpc.js';
import { isMessage, isRequest } from '../protocol/jsonrpc.js';
import type { Limits } from '../limits.js';
import {
  batchTooLarge,
  bodyTooLarge,
  messageTooDeep,
  messageTooLarge,
  RefusalError,
  REFUSALS,
} from './reply.js';

/** Of a request's id, which is a key wherever the request is known. */
const LONGEST_ID = 1024;

/** The messages of a POST. A body that `express.json()` has parsed is used as it is; else it is read here, up to `maxBytes`. */
export async function readMessages(
  req: Request,
  maxBytes: number,
  limits: Limits,
): Promise<JsonRpcMessage[]> {
  const { body, bytes } = await readBody(req, maxBytes);
  const list: unknown[] = Array.isArray(body) ? body : [body];
  if (list.length > limits.batchSize) throw new RefusalError(batchTooLarge(limits.batchSize));
  if (!list.every(isMessage)) throw new RefusalError(REFUSALS.invalidMessage);
  for (const message of list) checkMessage(message, bytes, limits);
  return list;
}

/** `bytes`: of the whole body. */
function checkMessage(
  message: JsonRpcMessage,
  bytes: number,
  { jsonDepth, messageBytes }: Limits,
): void {
  // Before anything that looks into it: what is nested deep enough brings the stack to its end.
  if (isDeeperThan(message, jsonDepth)) throw new RefusalError(messageTooDeep(jsonDepth));
  if (bytes > messageBytes && Buffer.byteLength(JSON.stringify(message)) > messageBytes) {
    throw new RefusalError(messageTooLarge(messageBytes));
  }
  if (isRequest(message) && String(message.id).length > LONGEST_ID) {
    throw new RefusalError(REFUSALS.idTooLong);
  }
}

/** A value that is no object and no list has depth 0. Goes no deeper than `most`. */
function isDeeperThan(value: unknown, most: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  if (most === 0) return true;
  return Object.values(value).some((inner) => isDeeperThan(inner, most - 1));
}

interface Body {
  body: unknown;
  /** `Infinity`: somebody else has read it. */
  bytes: number;
}

async function readBody(req: Request, maxBytes: number): Promise<Body> {
  const parsed: unknown = req.body;
  if (typeof parsed === 'string') return parse(parsed);
  if (Buffer.isBuffer(parsed)) return parse(decode(parsed));
  // A parser that was not meant for this body leaves `{}` behind (Express 4), and the body unread.
  const isLeftOver = !req.readableEnded && isEmpty(parsed);
  if (parsed !== undefined && !isLeftOver) return { body: parsed, bytes: Infinity };
  return parse(await readText(req, maxBytes));
}

function isEmpty(value: unknown): boolean {
  return typeof value === 'object' && value !== null && Object.keys(value).length === 0;
}

/** As the Fetch standard reads a body: a byte order mark in front is none of the text. */
function decode(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

function parse(text: string): Body {
  try {
    return { body: JSON.parse(text) as unknown, bytes: Buffer.byteLength(text) };
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
