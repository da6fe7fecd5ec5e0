/**
 * Measures how much work a JSON text makes for the process that parses it. The functions here do not parse the text, and
 * do not recurse.
 */

export interface JsonShape {
  /** How deep objects and lists may be nested. */
  depth: number;
  /** How many values there may be. Members of objects, items of lists, and the objects and lists themselves count. */
  values: number;
}

const QUOTE = 0x22;
const COMMA = 0x2c;
const OPENING_BRACKET = 0x5b;
const BACKSLASH = 0x5c;
const CLOSING_BRACKET = 0x5d;
const OPENING_BRACE = 0x7b;
const CLOSING_BRACE = 0x7d;
/** Matches each character that affects the shape. */
const SIGN = /["[\]{},]/g;
const LONG_NUMBER = 64;

/**
 * Returns the part of `most` that a JSON text exceeds, or `undefined` if it exceeds none. Many small values make
 * `JSON.parse` and everything after it slow, and deep nesting overflows the stack of `JSON.stringify`. The text may be
 * invalid JSON: then `undefined` only means that the text is cheap to parse.
 */
export function exceededBy(text: string, most: JsonShape): keyof JsonShape | undefined {
  // Each level of nesting takes two characters, and so does each value.
  if (text.length <= 2 * Math.min(most.depth, most.values)) return undefined;
  let depth = 0;
  let values = 1;
  let digits = 0;
  for (let at = 0; at < text.length; at += 1) {
    const char = text.charCodeAt(at);
    // Most of these characters are digits. A long run of them is skipped with a search, as strings are.
    if (char > COMMA && char < OPENING_BRACKET) {
      digits += 1;
      if (digits < LONG_NUMBER) continue;
      SIGN.lastIndex = at;
      at = SIGN.test(text) ? SIGN.lastIndex - 2 : text.length;
      digits = 0;
      continue;
    }
    digits = 0;
    if (char === QUOTE) {
      at = endOfString(text, at);
    } else if (char === COMMA) {
      values += 1;
      if (values > most.values) return 'values';
    } else if (char === OPENING_BRACKET || char === OPENING_BRACE) {
      depth += 1;
      values += 1;
      if (depth > most.depth) return 'depth';
      if (values > most.values) return 'values';
    } else if (char === CLOSING_BRACKET || char === CLOSING_BRACE) {
      depth -= 1;
    }
  }
  return undefined;
}

/**
 * Returns the index of the quote that ends the string which begins at `begin`. Most of a large message is in strings. A
 * search for the quote takes a tenth of the time of a look at each character.
 */
function endOfString(text: string, begin: number): number {
  for (let at = text.indexOf('"', begin + 1); at !== -1; at = text.indexOf('"', at + 1)) {
    let backslashes = 0;
    while (text.charCodeAt(at - 1 - backslashes) === BACKSLASH) backslashes += 1;
    if (backslashes % 2 === 0) return at;
  }
  return text.length;
}

/** Does the same for a value that has been parsed already. It visits at most `most.values` of its values. */
export function exceededByValue(value: unknown, most: JsonShape): keyof JsonShape | undefined {
  let level: object[] = isContainer(value) ? [value] : [];
  let values = 1;
  for (let depth = 1; level.length > 0; depth += 1) {
    if (depth > most.depth) return 'depth';
    const next: object[] = [];
    for (const container of level) {
      const inner: unknown[] = Array.isArray(container) ? container : Object.values(container);
      values += inner.length;
      if (values > most.values) return 'values';
      for (const each of inner) if (isContainer(each)) next.push(each);
    }
    level = next;
  }
  return undefined;
}

function isContainer(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}
