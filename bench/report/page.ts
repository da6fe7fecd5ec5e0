import { readFile, writeFile } from 'node:fs/promises';
import { chart } from './chart.js';
import { panelsOf } from './panels.js';
import type { Results } from './results.js';
import type { Table } from './table.js';

const PAGE = new URL('../../docs/performance.md', import.meta.url);
const CHART = new URL('../../docs/performance.svg', import.meta.url);

const BEGIN = '<!-- results: written by npm run bench -- --write -->';
const END = '<!-- end of results -->';

/** Puts the results between the marks of docs/performance.md, and draws docs/performance.svg. */
export async function writePage(results: Results): Promise<void> {
  const page = await readFile(PAGE, 'utf8');
  await writeFile(PAGE, withResults(page, results));
  await writeFile(
    CHART,
    chart('mcp-anynode and the SDK’s own transport', panelsOf(results.figures)),
  );
}

/** Returns the page with the results between its marks. Throws if it has no marks. */
export function withResults(page: string, { machine, rounds, tables, targets }: Results): string {
  const [begin, end] = [page.indexOf(BEGIN), page.indexOf(END)];
  if (begin < 0 || end < begin) throw new Error('docs/performance.md has no marks for the results');
  const parts = [
    BEGIN,
    '![Chart of the results](performance.svg)',
    Object.entries(machine)
      .map(([name, value]) => `- ${name}: ${value}`)
      .join('\n'),
    `${rounds} rounds. Medians; in parentheses the lowest and the highest round.`,
    ...[targets, ...tables].map(asMarkdown),
  ];
  return `${page.slice(0, begin)}${parts.join('\n\n')}\n\n${page.slice(end)}`;
}

function asMarkdown({ title, columns, rows, note }: Table): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  const rule = columns.map((_, at) => (at === 0 ? '---' : '--:'));
  const table = [line(columns), line(rule), ...rows.map(line)].join('\n');
  return [`### ${title}`, table, ...(note === undefined ? [] : [note])].join('\n\n');
}
