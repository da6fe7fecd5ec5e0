// Not the global one, which a test of an application may have replaced: one that never calls back would hold up all after it.
import { setImmediate } from 'node:timers';
import type { Request } from 'express';
import type { JsonRpcMessage } from '../protocol/jsonrpc.js';
import { isMessage, isRequest } from '../protocol/jsonrpc.js';
import type { Limits } from '../limits.js';
import { codingOf, decompress } from './content-coding.js';
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

/** What came in one POST. */
export interface Posted {
  messages: JsonRpcMessage[];
  /** The body as it came, where it is one message alone: stored as it is, it need not be written as JSON again. */
  text: string | undefined;
}

/** The messages of a POST. A body that `express.json()` has parsed is used as it is; else it is read here, up to `maxBytes`. */
export async function readMessages(
  req: Request,
  maxBytes: number,
  limits: Limits,
): Promise<Posted> {
  const read = peeked.get(req) ?? (await readBody(req, maxBytes));
  // The request lives for as long as its connection does.
  peeked.delete(req);
  const { body, bytes, text } = read ?? (await parsedBefore(req, maxBytes));
  const list: unknown[] = Array.isArray(body) ? body : [body];
  if (list.length > limits.batchSize) throw new RefusalError(batchTooLarge(limits.batchSize));
  if (!list.every(isMessage)) throw new RefusalError(REFUSALS.invalidMessage);
  for (const message of list) checkMessage(message, bytes, limits);
  const isAlone = list.length === 1 && !Array.isArray(body) && bytes <= limits.messageBytes;
  return { messages: list, text: isAlone ? text : undefined };
}

/** `bytes`: of the whole body. */
function checkMessage(message: JsonRpcMessage, bytes: number, limits: Limits): void {
  checkSize(message, bytes, limits);
  if (isRequest(message) && String(message.id).length > LONGEST_ID) {
    throw new RefusalError(REFUSALS.idTooLong);
  }
}

/** `bytes`: of the whole body. */
export function checkSize(
  message: object,
  bytes: number,
  { jsonDepth, messageBytes }: Pick<Limits, 'jsonDepth' | 'messageBytes'>,
): void {
  // Before anything that looks into it: what is nested deep enough brings the stack to its end. Each level takes two
  // characters, so that short bodies need not be looked through.
  if (bytes > 2 * jsonDepth && isDeeperThan(message, jsonDepth)) {
    throw new RefusalError(messageTooDeep(jsonDepth));
  }
  if (bytes > messageBytes && Buffer.byteLength(JSON.stringify(message)) > messageBytes) {
    throw new RefusalError(messageTooLarge(messageBytes));
  }
}

/** A value that is no object and no list has depth 0. Goes no deeper than `most`. */
function isDeeperThan(value: object, most: number): boolean {
  if (most === 0) return true;
  for (const key in value) {
    const inner = (value as Record<string, unknown>)[key];
    if (typeof inner === 'object' && inner !== null && isDeeperThan(inner, most - 1)) return true;
  }
  return false;
}

interface Body {
  body: unknown;
  /** `Infinity`: somebody else has read it, and there is no `text`. */
  bytes: number;
  text?: string;
}

/** Kept here, and not in `req.body`: that would look as if a parser in front had read it, to an application behind. */
const peeked = new WeakMap<Request, Body>();

/** What a POST says, as JSON; {@link readMessages} gets the same afterwards. Rejects like {@link readMessages}. */
export async function peekBody(req: Request, maxBytes: number): Promise<Body> {
  const read = await readBody(req, maxBytes);
  if (read !== undefined) peeked.set(req, read);
  return read ?? parsedBefore(req, maxBytes);
}

/** The body as something in front has left it: parsed, as text, or as bytes. */
async function parsedBefore(req: Request, maxBytes: number): Promise<Body> {
  const body: unknown = req.body;
  if (typeof body === 'string') return parse(body, Buffer.byteLength(body));
  if (!Buffer.isBuffer(body)) return { body, bytes: Infinity };
  try {
    return parse(decode(body), body.length);
  } catch (error) {
    // A parser has decompressed the bytes. A serverless adapter hands them over as they came, with the same header.
    const coding = codingOf(req);
    if (coding === undefined) throw error;
    const plain = await decompress(body, coding, maxBytes);
    return parse(decode(plain), plain.length);
  }
}

function isEmpty(value: unknown): boolean {
  return typeof value === 'object' && value !== null && Object.keys(value).length === 0;
}

/** As the Fetch standard reads a body: a byte order mark in front is none of the text. */
function decode(bytes: Buffer): string {
  const text = bytes.toString('utf8');
  return text.startsWith('\uFEFF') ? text.slice(1) : text;
}

function parse(text: string, bytes: number): Body {
  try {
    return { body: JSON.parse(text) as unknown, bytes, text };
  } catch {
    throw new RefusalError(REFUSALS.invalidJson);
  }
}

/**
 * Stops at the limit; a declared length over it is refused without reading. The rest of the body is thrown away.
 * `undefined`: somebody else has read it.
 */
async function readBody(req: Request, maxBytes: number): Promise<Body | undefined> {
  const parsed: unknown = req.body;
  // A parser that was not meant for this body leaves `{}` behind (Express 4), and the body unread.
  const isLeftOver = !req.readableEnded && isEmpty(parsed);
  if (parsed !== undefined && !isLeftOver) return undefined;
  const coding = codingOf(req);
  const declared = Number(req.headers['content-length']);
  if (declared > maxBytes) throw new RefusalError(bodyTooLarge(maxBytes));
  const bytes = await new Promise<Buffer>((resolve, reject) => {
    // Somebody else listens already, and takes what comes when it comes.
    if (!isUntouched(req)) {
      collect(req, maxBytes, resolve, reject);
      return;
    }
    // Most bodies come along with their headers: a tick later, before anything else can ask for them, they are there as
    // a whole, and four listeners less are attached to a request, which is what reading one takes most of its time for.
    // What is read in one turn of the event loop is gone on with in the next: the requests have ended then, and their
    // answers go out one right after the other, which wakes those who wait for them less often.
    process.nextTick(() => {
      // Unless somebody has begun to listen right after `next()`: then `read` would give a piece of it, or a text.
      const isWhole = req.readableLength === declared && isUntouched(req);
      const whole: unknown = isWhole ? req.read() : null;
      if (!Buffer.isBuffer(whole)) {
        collect(req, maxBytes, resolve, reject);
        return;
      }
      req.resume(); // on to its end, which somebody may wait for
      inNextTurn(() => resolve(whole));
    });
  });
  const plain = coding === undefined ? bytes : await decompress(bytes, coding, maxBytes);
  return parse(decode(plain), plain.length);
}

let readInThisTurn: (() => void)[] = [];

/** All of them in one go: what they ask of Redis is sent when the last one has asked. */
function inNextTurn(goOn: () => void): void {
  readInThisTurn.push(goOn);
  if (readInThisTurn.length > 1) return;
  setImmediate(() => {
    const all = readInThisTurn;
    readInThisTurn = [];
    for (const each of all) each();
  });
}

/** Nobody reads it, has stopped it, or has said how it is to be decoded. */
function isUntouched({ readableFlowing, readableEncoding }: Request): boolean {
  return readableFlowing === null && readableEncoding === null;
}

function collect(
  req: Request,
  maxBytes: number,
  resolve: (bytes: Buffer) => void,
  reject: (error: RefusalError) => void,
): void {
  let chunks: Buffer[] = [];
  let received = 0;
  let ended = false;
  req.on('data', (data: Buffer | string) => {
    // A text, where something in front has called `setEncoding`.
    const chunk = typeof data === 'string' ? Buffer.from(data, encodingOf(req)) : data;
    received += chunk.length;
    if (received > maxBytes) {
      chunks = [];
      reject(new RefusalError(bodyTooLarge(maxBytes)));
    } else {
      chunks.push(chunk);
    }
  });
  req.on('end', () => {
    ended = true;
    const [only] = chunks;
    resolve(chunks.length === 1 && only !== undefined ? only : Buffer.concat(chunks));
  });
  // The client went away in the middle: nobody reads the answer. Both come after the end, too.
  const onGone = (): void => {
    if (!ended) reject(new RefusalError(REFUSALS.invalidJson));
  };
  req.on('close', onGone);
  req.on('error', onGone);
  // Whoever paused it has passed it on since, and a listener alone does not set it going again.
  if (req.readableFlowing === false) req.resume();
  // It may have gone before this was called: while something in front of us was asynchronous.
  if (req.destroyed) onGone();
}

function encodingOf({ readableEncoding }: Request): BufferEncoding {
  return readableEncoding ?? 'utf8';
}
