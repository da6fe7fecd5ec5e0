import type { Spread } from '../run/spread.js';
import type { Table } from './table.js';

/** All results of a run. */
export interface Results {
  machine: Record<string, string>;
  rounds: number;
  tables: Table[];
  targets: Table;
  figures: ReadonlyMap<string, Spread>;
}
