import type { Rounds } from '../run/rounds.js';
import type { Spread } from '../run/spread.js';

export interface Table {
  title: string;
  columns: string[];
  /** The rows. The first cell of a row is its name. */
  rows: string[][];
  /** A note that the reader needs to understand the table. */
  note?: string;
}

export interface Column {
  title: string;
  /** Returns the value for a contestant. If it is undefined or not a number, the cell stays empty. */
  value: (rounds: Rounds, name: string) => Spread | undefined;
  digits: number;
  /** Whether the lowest and the highest value are shown beside the median. */
  withSpread?: boolean;
  /** The factor by which the value is multiplied. */
  scale?: number;
}

/** Returns a table with one row for each contestant. */
export function tableOf(
  title: string,
  rounds: Rounds,
  columns: readonly Column[],
  titles: Record<string, string>,
): Table {
  return {
    title,
    columns: ['', ...columns.map((column) => column.title)],
    rows: rounds.names.map((name) => [
      titles[name] ?? name,
      ...columns.map(({ value, digits, withSpread, scale = 1 }) => {
        const found = value(rounds, name);
        return found === undefined || Number.isNaN(found.median)
          ? ''
          : show(found, digits, { withSpread, scale });
      }),
    ]),
  };
}

/** Returns the median, with its spread if that is wanted: `1.52 (1.48–1.60)`. */
export function show(
  { median, low, high }: Spread,
  digits: number,
  { withSpread = false, scale = 1 }: { withSpread?: boolean | undefined; scale?: number } = {},
): string {
  const text = (value: number): string => (value * scale).toFixed(digits);
  return withSpread ? `${text(median)} (${text(low)}–${text(high)})` : text(median);
}

/** Returns the table as text for a terminal. */
export function asText({ title, columns, rows, note }: Table): string {
  const widths = columns.map((column, at) =>
    Math.max(column.length, ...rows.map((row) => row[at]?.length ?? 0)),
  );
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, at) => (at === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[at] ?? 0)))
      .join('  ');
  return [title, line(columns), ...rows.map(line), ...(note === undefined ? [] : [note])].join(
    '\n',
  );
}
