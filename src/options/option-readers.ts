/**
 * Readers of options. A table has one reader for each option, under the name of the option. So a table shows all options, the
 * values that each may have, and its default.
 */

/**
 * Returns the value of one option, or its default. Throws a `TypeError` that names the option if the value is not allowed.
 */
export type Reader<Value> = (value: unknown, name: string) => Value;

type Table = Record<string, Reader<unknown>>;
export type ReadBy<T extends Table> = { [Name in keyof T]: ReturnType<T[Name]> };

/** Reads all options of a table. In errors `prefix` stands in front of their names. */
export function readOptions<T extends Table>(table: T, given: object, prefix = ''): ReadBy<T> {
  const unknown = Object.keys(given).filter((name) => !Object.hasOwn(table, name));
  if (unknown.length > 0) {
    const names = unknown.map((name) => `\`${prefix}${name}\``);
    throw new TypeError(`mcp-anynode: unknown option ${names.join(', ')}`);
  }
  const values = given as Record<string, unknown>;
  const read = Object.entries(table).map(([name, reader]) => {
    return [name, reader(values[name], `${prefix}${name}`)];
  });
  return Object.fromEntries(read) as ReadBy<T>;
}

/** Accepts any value. The option is checked elsewhere, or not at all. */
export function asGiven<Value>(): Reader<Value | undefined> {
  return (value) => value as Value | undefined;
}

/** Accepts an object that has the functions `names`. */
export function withFunctions<Value extends object>(
  otherwise: Value,
  names: readonly (keyof Value & string)[],
): Reader<Value> {
  return (value, name) => {
    const given = (value ?? otherwise) as Partial<Record<string, unknown>>;
    if (names.every((each) => typeof given[each] === 'function')) return given as Value;
    const list = names.map((each) => `\`${each}\``).join(' and ');
    throw new TypeError(`mcp-anynode: \`${name}\` has to have the functions ${list}`);
  };
}

/** Accepts one of these values. The first one is the default. */
export function oneOf<Value extends string | boolean>(
  ...values: [Value, ...Value[]]
): Reader<Value> {
  return (value, name) => {
    const found = value === undefined ? values[0] : values.find((possible) => possible === value);
    if (found !== undefined) return found;
    const list = values.map((possible) => `'${String(possible)}'`).join(' or ');
    throw new TypeError(
      `mcp-anynode: \`${name}\` is ${JSON.stringify(value)}, but can only be ${list}`,
    );
  };
}

/** Accepts a whole number that is not negative. */
export function wholeNumber(otherwise: number): Reader<number> {
  return (given, name) => {
    const value: unknown = given ?? otherwise;
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
    throw new TypeError(
      `mcp-anynode: \`${name}\` has to be a whole number of at least 0, and is ${String(value)}`,
    );
  };
}

/** Accepts a whole number from 1 to `most`. */
export function positive(otherwise: number, most = Infinity): Reader<number> {
  const read = wholeNumber(otherwise);
  return (given, name) => {
    const value = read(given, name);
    if (value === 0) throw new TypeError(`mcp-anynode: \`${name}\` must be more than 0`);
    return atMost(most, value, name);
  };
}

function atMost(most: number, value: number, name: string): number {
  if (value <= most) return value;
  throw new TypeError(`mcp-anynode: \`${name}\` must not be more than ${most}`);
}

/** Accepts a function. */
export function callable<Value>(): Reader<Value | undefined>;
export function callable<Value>(otherwise: Value): Reader<Value>;
export function callable(otherwise?: unknown): Reader<unknown> {
  return (value, name) => {
    if (value === undefined || typeof value === 'function') return value ?? otherwise;
    throw new TypeError(`mcp-anynode: \`${name}\` has to be a function`);
  };
}

/** Accepts a list of strings. A single string is refused, because its own `includes` would accept each part of it. */
export const strings: Reader<string[] | undefined> = (value, name) => {
  if (value === undefined || Array.isArray(value)) return value;
  throw new TypeError(`mcp-anynode: \`${name}\` has to be a list of strings`);
};
