/** Where the lanes and rows of the picture are. */
import type { Lane } from '../../../timeline/layout.js';
import { CLIENT, HANDLER } from '../../../timeline/layout.js';

export interface LaneBox {
  name: string;
  top: number;
  bottom: number;
  /** The top of the first row. */
  rows: number;
  rowHeight: number;
}

export interface Visible {
  from: number;
  to: number;
}

/** The strip of a node's lane for its connections and marks. */
const STRIP = 22;
const ROW = 26;
const TOUCH_ROW = 40;
const THIN = 11;
const HANDLER_ROW = 18;

export function laneTops(lanes: Lane[], top: number, isNarrow: boolean): LaneBox[] {
  let y = top;
  return lanes.map(({ name, rows }) => {
    const rowHeight =
      name === CLIENT ? THIN : name === HANDLER ? HANDLER_ROW : isNarrow ? TOUCH_ROW : ROW;
    const strip = name === HANDLER ? 8 : STRIP;
    const box = {
      name,
      top: y,
      bottom: y + strip + rows * rowHeight + 8,
      rows: y + strip,
      rowHeight,
    };
    y = box.bottom;
    return box;
  });
}

/** Returns the place of a bar. */
export function rowTop(box: LaneBox | undefined, row: number): number {
  return box === undefined ? 0 : box.rows + row * box.rowHeight;
}
