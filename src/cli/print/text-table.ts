import type { Output } from './output.js';
import { cut, pad, plain, widthOf } from './text.js';

export interface Column<T> {
  title: string;
  of: (row: T) => string | number | undefined;
  /** True if the column may be made narrower when the terminal is too narrow for all columns. */
  shrinks?: boolean;
}

/** The spaces between two columns. */
const GAP = 2;
/** The width below which no column is made narrower. */
const LEAST = 8;

/** The most characters of a cell. It also holds without a terminal, because a long cell widens its whole column. */
const LONGEST_CELL = 512;

function cellOf(text: string): string {
  return cut(
    plain(text.slice(0, LONGEST_CELL)),
    text.length > LONGEST_CELL ? LONGEST_CELL : Infinity,
  );
}

/** Formats rows as lines of columns. Rows may come in parts: the rows of the first part determine the widths. */
export class Table<T> {
  private widths: number[] | undefined;

  constructor(
    private readonly columns: Column<T>[],
    private readonly output: Output,
  ) {}

  async print(rows: T[]): Promise<void> {
    for (const line of this.lines(rows)) await this.output.line(line);
  }

  lines(rows: T[]): string[] {
    const cells = rows.map((row) =>
      this.columns.map(({ of }) => {
        const value = of(row);
        return value === undefined || value === '' ? '-' : cellOf(String(value));
      }),
    );
    const lines: string[] = [];
    if (this.widths === undefined) {
      this.widths = this.fit(cells);
      const titles = this.columns.map(({ title }) => title);
      lines.push(this.output.style('bold', this.lineOf(titles, this.widths)));
    }
    for (const row of cells) lines.push(this.lineOf(row, this.widths));
    return lines;
  }

  private lineOf(cells: string[], widths: number[]): string {
    const last = cells.length - 1;
    const text = cells.map((cell, at) => {
      const width = widths[at] ?? 0;
      // Only the width of a terminal cuts cells. A later part may be wider than the first one.
      const fitted = this.output.width === undefined ? cell : cut(cell, width);
      return at === last ? fitted : pad(fitted, width);
    });
    const line = text.join(' '.repeat(GAP));
    return this.output.width === undefined ? line : cut(line, this.output.width);
  }

  private fit(cells: string[][]): number[] {
    const widths = this.columns.map(({ title }, at) =>
      Math.max(widthOf(title), ...cells.map((row) => widthOf(row[at] ?? ''))),
    );
    const room = this.output.width;
    if (room === undefined) return widths;
    const total = (): number => widths.reduce((sum, width) => sum + width + GAP, -GAP);
    const may = this.columns.flatMap(({ shrinks }, at) => (shrinks === true ? [at] : []));
    while (total() > room) {
      const widest = may.reduce(
        (best: number | undefined, at) =>
          best === undefined || (widths[at] ?? 0) > (widths[best] ?? 0) ? at : best,
        undefined,
      );
      if (widest === undefined || (widths[widest] ?? 0) <= LEAST) break;
      widths[widest] = (widths[widest] ?? 0) - 1;
    }
    return widths;
  }
}
