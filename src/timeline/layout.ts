/** Gives each bar of a timeline its lane and row, so that bars that overlap in time do not cover each other. */
import type { Bar, Mark, Stretch, Timeline } from './picture.js';

export const CLIENT = 'client';
export const HANDLER = 'handler';

export interface Lane {
  /** `client`, `handler`, or the id of a node. */
  name: string;
  rows: number;
}

/** A bar in a lane. One call has up to three: of the client, of the node that ran it, and of the handler. */
export interface Placed {
  bar: Bar;
  lane: number;
  row: number;
  start: number;
  end: number;
  /** `main`: with its name. `line`: a thin one. `inner`: inside the main bar of its call. `handler`: with its node. */
  form: 'main' | 'line' | 'inner' | 'handler';
}

export interface Layout {
  lanes: Lane[];
  bars: Placed[];
  marks: { mark: Mark; lane: number }[];
  stretches: { stretch: Stretch; lane: number; row: number; to: number }[];
}

/** Lanes do not grow beyond this. Further bars share the last row. */
const MOST_ROWS = 16;
/** Lanes do not grow beyond this for names only. */
const MOST_ROWS_FOR_NAMES = 4;

/** `reachOf`: when a bar and the name beside it end. Bars are placed so that they do not cover names, as far as there is room. */
export function layout(
  { nodes, bars, marks, stretches, to }: Timeline,
  reachOf?: (bar: Bar) => number,
): Layout {
  const names = [CLIENT, ...nodes, HANDLER];
  const index = new Map(names.map((name, at) => [name, at]));
  const laneOf = (node: string | undefined, otherwise: string): number =>
    index.get(node ?? otherwise) ?? index.get(otherwise) ?? 0;
  const rows = names.map(() => new Rows());
  const placed: Placed[] = [];
  const rowOf = new Map<string, { lane: number; row: number }>();
  const place = (bar: Bar, lane: number, form: Placed['form']): void => {
    const end = bar.end ?? to;
    const reach = form === 'main' ? reachOf?.(bar) : undefined;
    const row = rows[lane]?.take(bar.start, bar.end ?? Infinity, reach) ?? 0;
    placed.push({ bar, lane, row, start: bar.start, end, form });
    if (form === 'main') rowOf.set(bar.key, { lane, row });
  };
  for (const bar of bars) {
    if (bar.kind === 'call') {
      place(bar, laneOf(CLIENT, CLIENT), 'line');
      place(bar, laneOf(bar.ranBy ?? bar.receivedBy, HANDLER), 'main');
      if (bar.receivedBy !== undefined) place(bar, laneOf(HANDLER, HANDLER), 'handler');
      continue;
    }
    const parent = rowOf.get(bar.parent ?? '');
    if (parent === undefined) place(bar, laneOf(bar.receivedBy, HANDLER), 'main');
    else placed.push({ bar, ...parent, start: bar.start, end: bar.end ?? to, form: 'inner' });
  }
  return {
    lanes: names.map((name, at) => ({ name, rows: rows[at]?.count ?? 1 })),
    bars: placed,
    marks: marks.map((mark) => ({ mark, lane: laneOf(mark.node, CLIENT) })),
    stretches: stretches.flatMap((stretch) => {
      const lane = index.get(stretch.node);
      if (lane === undefined) return [];
      return [{ stretch, lane, row: stretch.stream === 'g' ? 0 : 1, to: stretch.to ?? to }];
    }),
  };
}

class Rows {
  private readonly ends: number[] = [];
  /** When the names end that stand beside the last bars. */
  private readonly reaches: number[] = [];

  get count(): number {
    return Math.max(1, this.ends.length);
  }

  /** Returns the first row that is free from `start` on, and takes it until `end`. Prefers a row without a name there. */
  take(start: number, end: number, reach = end): number {
    let row = this.reaches.findIndex((until) => until < start);
    if (row < 0 && this.ends.length >= MOST_ROWS_FOR_NAMES)
      row = this.ends.findIndex((until) => until < start);
    if (row < 0) row = Math.min(this.ends.length, MOST_ROWS - 1);
    this.ends[row] = Math.max(end, this.ends[row] ?? 0);
    this.reaches[row] = Math.max(end, reach, this.reaches[row] ?? 0);
    return row;
  }
}
