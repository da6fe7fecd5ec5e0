// Not the global one, which a test of an application may have replaced: one that never calls back would hold up all after it.
import { setImmediate } from 'node:timers';
import type { Request } from 'express';
import type { JsonRpcMessage } from '../../protocol/jsonrpc.js';
import { isMessage } from '../../protocol/jsonrpc.js';
import type { Limits } from '../../options/limits.js';
import { exceededBy, exceededByValue } from '../../protocol/json-shape.js';
import type { SharedTimer } from '../../protocol/shared-timer.js';
import type { BodyShare } from './body-budget.js';
import { codingOf, decompress } from './request-coding.js';
import { checkMessages, refuseShape, shapeOf } from './message-bounds.js';
import type { Refusal } from '../response/refusals.js';
import { batchTooLarge, RefusalError, REFUSALS } from '../response/refusals.js';

/** What came in one POST. */
export interface Posted {
  messages: JsonRpcMessage[];
  /** The body as it came, where it is one message alone: stored as it is, it need not be written as JSON again. */
  text: string | undefined;
}

/** How the body of one request may be read: see `admitBody`. */
export interface BodyRules {
  maxBytes: number;
  /** The answer to a longer body. */
  tooLarge: Refusal;
  limits: Limits;
  share: BodyShare;
  /** Ends bodies that do not come in time. */
  timeouts: Pick<SharedTimer, 'after'>;
}

/** What a POST says, as JSON. */
export interface Body {
  body: unknown;
  /** `Infinity`: a parser in front has read it, and there is no `text`. */
  bytes: number;
  text?: string;
}

/** Reads the body of a POST. One that a parser in front has read, such as `express.json()`, is used as it is. */
export async function readBody(req: Request, rules: BodyRules): Promise<Body> {
  return (await readHere(req, rules)) ?? parsedBefore(req, rules);
}

/** The messages of a POST, within the bounds that each of them has. */
export function messagesOf({ body, bytes, text }: Body, limits: Limits): Posted {
  const list: unknown[] = Array.isArray(body) ? body : [body];
  if (list.length > limits.batchSize) throw new RefusalError(batchTooLarge(limits.batchSize));
  if (!list.every(isMessage)) throw new RefusalError(REFUSALS.invalidMessage);
  checkMessages(list, bytes, limits);
  const isAlone = list.length === 1 && !Array.isArray(body) && bytes <= limits.messageBytes;
  return { messages: list, text: isAlone ? text : undefined };
}

/** The body as something in front has left it: parsed, as text, or as bytes. */
async function parsedBefore(req: Request, rules: BodyRules): Promise<Body> {
  const { limits } = rules;
  const body: unknown = req.body;
  if (typeof body === 'string') return parse(body, Buffer.byteLength(body), limits);
  if (!Buffer.isBuffer(body)) {
    refuseShape(exceededByValue(body, shapeOf(Array.isArray(body), limits)), limits);
    return { body, bytes: Infinity };
  }
  try {
    return parse(decode(body), body.length, limits);
  } catch (error) {
    // A parser has decompressed the bytes. A serverless adapter hands them over as they came, with the same header.
    const coding = codingOf(req);
    if (coding === undefined) throw error;
    const plain = await decompress(body, coding, rules);
    return parse(decode(plain), plain.length, limits);
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

function parse(text: string, bytes: number, limits: Limits): Body {
  const isBatch = /^\s*\[/.test(text);
  refuseShape(exceededBy(text, shapeOf(isBatch, limits)), limits);
  try {
    return { body: JSON.parse(text) as unknown, bytes, text };
  } catch {
    throw new RefusalError(REFUSALS.invalidJson);
  }
}

/**
 * Stops at the limit; a declared length over it is refused without reading. The rest of the body is thrown away.
 * Returns `undefined` if a parser in front has read it.
 */
async function readHere(req: Request, rules: BodyRules): Promise<Body | undefined> {
  const { maxBytes, tooLarge, share, limits } = rules;
  const parsed: unknown = req.body;
  // A parser that was not meant for this body leaves `{}` behind (Express 4), and the body unread.
  const isLeftOver = !req.readableEnded && isEmpty(parsed);
  if (parsed !== undefined && !isLeftOver) return undefined;
  const coding = codingOf(req);
  const declared = Number(req.headers['content-length']);
  if (declared > maxBytes) throw new RefusalError(tooLarge);
  // A compressed body may become as long as is allowed.
  if (coding !== undefined) share.hold(maxBytes);
  else if (declared > 0) share.hold(declared);
  const bytes = await new Promise<Buffer>((resolve, reject) => {
    // Somebody else listens already, and takes what comes when it comes.
    if (!isUntouched(req)) {
      collect(req, rules, resolve, reject);
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
        collect(req, rules, resolve, reject);
        return;
      }
      req.resume(); // on to its end, which somebody may wait for
      inNextTurn(() => resolve(whole));
    });
  });
  const plain = coding === undefined ? bytes : await decompress(bytes, coding, rules);
  if (plain.length > SMALL_TURN_BYTES) await ownTurn();
  return parse(decode(plain), plain.length, limits);
}

/** Longer bodies are parsed one in each turn of the event loop: many that come together would make it stand still. */
const SMALL_TURN_BYTES = 16 * 1024;
let lastTurn = Promise.resolve();

function ownTurn(): Promise<void> {
  lastTurn = lastTurn.then(() => new Promise<void>((resolve) => void setImmediate(resolve)));
  return lastTurn;
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
  { maxBytes, tooLarge, share, timeouts }: BodyRules,
  resolve: (bytes: Buffer) => void,
  reject: (error: RefusalError) => void,
): void {
  let chunks: Buffer[] = [];
  let received = 0;
  let ended = false;
  let refused = false;
  const refuse = (error: RefusalError): void => {
    refused = true;
    chunks = [];
    cancelTimer();
    reject(error);
  };
  const cancelTimer = timeouts.after(() => refuse(new RefusalError(REFUSALS.bodyTimeout)));
  req.on('data', (data: Buffer | string) => {
    // What comes after a refusal is thrown away.
    if (refused) return;
    // A text, where something in front has called `setEncoding`.
    const chunk = typeof data === 'string' ? Buffer.from(data, encodingOf(req)) : data;
    received += chunk.length;
    try {
      if (received > maxBytes) throw new RefusalError(tooLarge);
      share.hold(received);
      chunks.push(chunk);
    } catch (error) {
      refuse(error as RefusalError);
    }
  });
  req.on('end', () => {
    ended = true;
    cancelTimer();
    const [only] = chunks;
    resolve(chunks.length === 1 && only !== undefined ? only : Buffer.concat(chunks));
  });
  // The client went away in the middle: nobody reads the answer. Both come after the end, too.
  const onGone = (): void => {
    if (!ended) refuse(new RefusalError(REFUSALS.invalidJson));
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
