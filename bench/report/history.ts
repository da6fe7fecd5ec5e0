import { execFileSync } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import type { Spread } from '../run/spread.js';
import type { Results } from './results.js';
import type { Table } from './table.js';
import { TARGETS } from './targets.js';

/** A run whose figures were kept. */
export interface Entry {
  /** The commit that was measured. `-dirty` at its end: with changes. */
  commit: string;
  /** The day of the run, `2026-01-31`. */
  date: string;
  machine: Record<string, string>;
  /** Of each figure with a target: the median of the rounds, the lowest and the highest. */
  figures: Record<string, [median: number, low: number, high: number]>;
}

const FILE = new URL('../../docs/performance-history.json', import.meta.url);

/** Reads `docs/performance-history.json`. The last run comes last. */
export async function readHistory(): Promise<Entry[]> {
  return JSON.parse(await readFile(FILE, 'utf8')) as Entry[];
}

/** Adds a run to `docs/performance-history.json`, one line for each. */
export async function addToHistory({ machine, figures }: Results): Promise<void> {
  const entries = [...(await readHistory()), entryOf(machine, figures)];
  const lines = entries.map((entry) => JSON.stringify(entry)).join(',\n');
  await writeFile(FILE, `[\n${lines}\n]\n`);
}

function entryOf(machine: Record<string, string>, figures: ReadonlyMap<string, Spread>): Entry {
  const commit = execFileSync('git', ['describe', '--always', '--dirty'], { encoding: 'utf8' });
  const kept = TARGETS.flatMap(({ figure }) => {
    const value = figures.get(figure);
    return value === undefined ? [] : ([[figure, value]] as const);
  });
  return {
    ...{ commit: commit.trim(), date: new Date().toISOString().slice(0, 10), machine },
    figures: Object.fromEntries(
      kept.map(([figure, { median, low, high }]) => [
        figure,
        [rounded(median), rounded(low), rounded(high)],
      ]),
    ),
  };
}

/**
 * Compares a run with the last one on the same major version of Node. Returns `undefined` if there is none. A figure is worse or
 * better only if neither median lies between the lowest and the highest round of the other run.
 */
export function sinceLast(
  history: readonly Entry[],
  nodeVersion: string,
  figures: ReadonlyMap<string, Spread>,
): Table | undefined {
  const major = majorOf(nodeVersion);
  const last = history.findLast(({ machine }) => majorOf(machine['Node'] ?? '') === major);
  if (last === undefined) return undefined;
  const rows = TARGETS.flatMap(({ title, figure, is, digits }) => {
    const [now, then] = [figures.get(figure), last.figures[figure]];
    if (now === undefined || then === undefined) return [];
    const [median, low, high] = then;
    const isBeyond =
      (now.median < low && now.high < median) || (now.median > high && now.low > median);
    const isBetter = is === 'at least' ? now.median > median : now.median < median;
    const verdict = isBeyond ? (isBetter ? 'better' : 'WORSE') : '';
    return [[title, median.toFixed(digits), now.median.toFixed(digits), verdict]];
  });
  const title = `Since ${last.commit}, ${last.date}`;
  return { title, columns: ['', 'then', 'now', 'beyond the rounds'], rows };
}

function majorOf(version: string): string | undefined {
  return /^v(\d+)/.exec(version)?.[1];
}

function rounded(value: number): number {
  return Number(value.toPrecision(4));
}
