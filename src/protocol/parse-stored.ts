/**
 * Reads texts that come back from the backplane. This library wrote them, but whoever else can write there may have put
 * anything in their place: nothing here throws, and what is malformed is `undefined`.
 */
import { exceededBy } from './json-shape.js';
import type { JsonRpcMessage, RequestId } from './jsonrpc.js';
import { isMessage } from './jsonrpc.js';

/** JSON that is nested deeper cannot be written as JSON again on every stack. */
const DEEPEST = 2_000;

/** Any JSON that can be shown to people. */
export function parseStored(text: string): unknown {
  const exceeded = exceededBy(text, { depth: DEEPEST, values: Infinity });
  return exceeded === undefined ? parse(text) : undefined;
}

export function parseStoredMessage(text: string): JsonRpcMessage | undefined {
  const value = parse(text);
  return isMessage(value) ? value : undefined;
}

/** The ids of requests, which are stored as JSON. Malformed ones are left out. */
export function parseStoredIds(texts: readonly string[]): RequestId[] {
  return texts.flatMap((text) => {
    const id = parse(text);
    return typeof id === 'string' || typeof id === 'number' ? id : [];
  });
}

/** The id of an answer that is stored as JSON. */
export function parseAnsweredId(text: string): RequestId | undefined {
  // The SDK puts it at the end. What stands there belongs to the outermost object, and large answers need not be parsed for it.
  const [, last] = ID_AT_END.exec(text.slice(-LONGEST_END)) ?? [];
  const value = last === undefined ? parse(text) : { id: parse(last) };
  if (typeof value !== 'object' || value === null || !('id' in value)) return undefined;
  const { id } = value;
  return typeof id === 'string' || typeof id === 'number' ? id : undefined;
}

const ID_AT_END = /,"id":(-?\d{1,16}|"(?:[^"\\]|\\.)*")\}$/;
const LONGEST_END = 2_000;

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
