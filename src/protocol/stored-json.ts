/** JSON that was stored, for people to look at: whoever can write to the store may have put anything there. */
import { exceededBy } from './json-shape.js';

/** What is nested deeper cannot be written as JSON again on every stack. */
const DEEPEST = 2_000;

/** `undefined`: it is no JSON, or JSON that cannot be shown. */
export function parseStored(text: string): unknown {
  if (exceededBy(text, { depth: DEEPEST, values: Infinity }) !== undefined) return undefined;
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
