import type { Spread } from '../run/spread.js';

export interface Bar {
  label: string;
  value: Spread;
  colour: string;
}

/** A panel with the bars of one quantity. */
export interface Panel {
  title: string;
  /** The unit, which is shown under the axis. */
  unit: string;
  bars: Bar[];
  /** The value at which a line is drawn across the bars. */
  mark?: number;
}

const WIDTH = 460;
const LABELS = 170;
const RIGHT = 58;
const BAR = 16;
const STEP = 24;
const ABOVE = 40;
const BELOW = 44;
const TICKS = 4;
const MARGIN = 16;

const INK = '#1f2933';
const FAINT = '#d5dbe1';
const QUIET = '#52606d';

/** Returns an SVG with panels in two columns. It has its own background, so that it is readable on light and dark pages. */
export function chart(title: string, panels: readonly Panel[]): string {
  const rows: { panels: Panel[]; height: number }[] = [];
  for (let at = 0; at < panels.length; at += 2) {
    const both = panels.slice(at, at + 2);
    rows.push({ panels: both, height: Math.max(...both.map(heightOf)) });
  }
  const width = 2 * WIDTH + 2 * MARGIN;
  const height = rows.reduce((sum, row) => sum + row.height, 2 * MARGIN + 24);
  let top = MARGIN + 24;
  const drawn = rows.flatMap((row) => {
    const y = top;
    top += row.height;
    return row.panels.map((panel, at) => place(MARGIN + at * WIDTH, y, panel));
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img" aria-label="${escape(title)}" font-family="system-ui, sans-serif" font-size="12" fill="${INK}">`,
    `<rect x="0.5" y="0.5" width="${width - 1}" height="${height - 1}" rx="6" fill="#ffffff" stroke="${FAINT}"/>`,
    text(MARGIN, MARGIN + 10, title, 'font-size="15" font-weight="600"'),
    ...drawn,
    '</svg>',
    '',
  ].join('\n');
}

function heightOf({ bars }: Panel): number {
  return ABOVE + bars.length * STEP + BELOW;
}

function place(x: number, y: number, panel: Panel): string {
  const { title, unit, bars, mark } = panel;
  const step = tickStep(Math.max(...bars.map(({ value }) => value.high), mark ?? 0));
  const end = step * TICKS;
  const at = (value: number): number =>
    round(LABELS + (Math.min(Math.max(value, 0), end) / end) * (WIDTH - LABELS - RIGHT));
  const bottom = ABOVE + bars.length * STEP;
  const ticks = Array.from({ length: TICKS + 1 }, (_, tick) => tick * step);
  return [
    `<g transform="translate(${x} ${y})">`,
    text(0, 22, title, 'font-weight="600"'),
    ...ticks.map((value) => line(at(value), ABOVE - 4, at(value), bottom, FAINT)),
    ...ticks.map((value) =>
      text(at(value), bottom + 14, number(value), `text-anchor="middle" fill="${QUIET}"`),
    ),
    text(at(end / 2), bottom + 30, unit, `text-anchor="middle" fill="${QUIET}"`),
    ...bars.flatMap((bar, place) => drawBar(bar, ABOVE + place * STEP, at)),
    ...(mark === undefined
      ? []
      : [line(at(mark), ABOVE - 4, at(mark), bottom, INK, 'stroke-dasharray="3 3"')]),
    '</g>',
  ].join('\n');
}

/** Draws a bar that ends at the median, and a thin line from the lowest round to the highest. */
function drawBar({ label, value, colour }: Bar, y: number, at: (value: number) => number) {
  const middle = y + BAR / 2;
  const after = Math.max(at(value.median), at(value.high)) + 5;
  return [
    text(LABELS - 8, middle + 4, label, 'text-anchor="end"'),
    `<rect x="${LABELS}" y="${y}" width="${round(at(value.median) - LABELS)}" height="${BAR}" fill="${colour}"/>`,
    line(at(value.low), middle, at(value.high), middle, INK),
    text(after, middle + 4, number(value.median), 'font-weight="600"'),
  ];
}

/** Returns 1, 2, 2.5 or 5 times a power of ten, so that four steps reach beyond the highest value. */
function tickStep(highest: number): number {
  const least = Math.max(highest, Number.MIN_VALUE) / TICKS;
  const power = 10 ** Math.floor(Math.log10(least));
  return power * ([1, 2, 2.5, 5].find((times) => times * power >= least) ?? 10);
}

function number(value: number): string {
  return String(Number(value.toPrecision(3)));
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

function line(x1: number, y1: number, x2: number, y2: number, colour: string, more = ''): string {
  return `<line x1="${x1}" y1="${y1}" x2="${x2}" y2="${y2}" stroke="${colour}" ${more}/>`;
}

function text(x: number, y: number, content: string, more = ''): string {
  return `<text x="${x}" y="${y}" ${more}>${escape(content)}</text>`;
}

function escape(content: string): string {
  return content.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');
}
