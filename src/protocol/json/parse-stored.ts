/**
 * Parses texts that were stored in the backplane. This library wrote them, but another program with access to the store
 * may have changed them. So these functions never throw. They return `undefined` for a malformed text.
 */
import { exceededBy } from './json-shape.js';
import type { JsonRpcMessage, RequestId } from './jsonrpc.js';
import { isMessage } from './jsonrpc.js';

/** With deeper nesting, `JSON.stringify` may overflow the stack. */
const DEEPEST = 2_000;

/** Parses any JSON value, so that it can be shown to people. */
export function parseStored(text: string): unknown {
  const exceeded = exceededBy(text, { depth: DEEPEST, values: Infinity });
  return exceeded === undefined ? parse(text) : undefined;
}

export function parseStoredMessage(text: string): JsonRpcMessage | undefined {
  const value = parse(text);
  return isMessage(value) ? value : undefined;
}

/** Parses the ids of requests, which are stored as JSON. Malformed ids are left out. */
export function parseStoredIds(texts: readonly string[]): RequestId[] {
  return texts.flatMap((text) => {
    const id = parse(text);
    return typeof id === 'string' || typeof id === 'number' ? id : [];
  });
}

/** Returns the id of an answer that is stored as JSON. */
export function parseAnsweredId(text: string): RequestId | undefined {
  // The SDK writes the id at the end, where it belongs to the outermost object. So a large answer need not be parsed.
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
