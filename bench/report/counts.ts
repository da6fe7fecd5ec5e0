import { readFile, writeFile } from 'node:fs/promises';
import type { Spread } from '../run/spread.js';

/** What is counted for each call. */
export const COUNTS = {
  scripts: 'scripts',
  commands: 'commands',
  bytesToRedis: 'bytes to Redis',
  bytesFromRedis: 'bytes from Redis',
  writes: 'writes of the node',
  allocated: 'bytes allocated by the node',
};
export type Count = keyof typeof COUNTS;

/** The highest value of each counted figure that is accepted, by the name of the figure. */
export type AllowedCounts = Record<string, number>;

const FILE = new URL('../counts.json', import.meta.url);

/**
 * Returns by how much a figure may exceed what is allowed. Allocations vary by 1 % between runs, because V8 optimizes the code at
 * other moments. What a node does by itself from time to time adds a few bytes on a slow machine. Whole numbers do not vary.
 */
function marginOf(name: string): number {
  if (name.includes('.allocated')) return 0.03;
  return name.includes('.bytes') ? 0.01 : 0;
}

/** Returns the name of a figure. What a call allocates depends on the version of Node, `v24.21.0`. */
export function countName(tool: string, count: Count, nodeVersion: string): string {
  const node = count === 'allocated' ? `.node${/\d+/.exec(nodeVersion)?.[0]}` : '';
  return `counts.${tool}.${count}${node}`;
}

/** Returns a line for each counted figure that exceeds what is allowed, or for which nothing is allowed yet. */
export function grownCounts(
  figures: Iterable<readonly [string, Spread]>,
  allowed: AllowedCounts,
): string[] {
  return counted(figures).flatMap(([name, value]) => {
    const limit = allowed[name];
    if (limit !== undefined && value <= limit * (1 + marginOf(name))) return [];
    const before = limit === undefined ? 'no value is allowed yet' : `${limit} is allowed`;
    return [
      `${name} is ${value} for each call, and ${before}. ` +
        'To accept the figures of a run: npm run bench -- --only counts --accept',
    ];
  });
}

/** Reads `bench/counts.json`. */
export async function allowedCounts(): Promise<AllowedCounts> {
  return JSON.parse(await readFile(FILE, 'utf8')) as AllowedCounts;
}

/** Puts the counted figures into `bench/counts.json`. */
export async function acceptCounts(figures: Iterable<readonly [string, Spread]>): Promise<void> {
  const all = { ...(await allowedCounts()), ...Object.fromEntries(counted(figures)) };
  const sorted = Object.entries(all).sort(([a], [b]) => (a < b ? -1 : 1));
  await writeFile(FILE, `${JSON.stringify(Object.fromEntries(sorted), undefined, 2)}\n`);
}

/**
 * Returns the counted figures, as whole numbers. What a node does by itself only adds to a count, so the lowest batch is taken.
 * Allocations are rounded to hundreds.
 */
function counted(figures: Iterable<readonly [string, Spread]>): [string, number][] {
  return Array.from(figures)
    .filter(([name]) => name.startsWith('counts.'))
    .map(([name, { median, low }]) => [
      name,
      name.includes('.allocated') ? Math.round(median / 100) * 100 : Math.round(low),
    ]);
}
