/** Places moments on a horizontal axis. */

export interface Scale {
  width: number;
  x: (at: number) => number;
  at: (x: number) => number;
  /** Long pauses that the axis shows much shorter than they were. */
  pauses: { from: number; to: number }[];
  /** Whether equal times have equal lengths. */
  isLinear: boolean;
}

/** The first and the last moment have so much room at their sides. */
const EDGE = 24;
/** A pause from this length on is worth a word. */
const PAUSE_MS = 1000;

/**
 * Makes an axis on which the gap between two moments grows with the logarithm of its length. A call of 3 ms and a pause of an
 * hour can both be seen, and each event has a place of its own.
 */
export function evenScale(moments: number[], zoom: number): Scale {
  const times = distinct(moments);
  const xs: number[] = [];
  const pauses: Scale['pauses'] = [];
  let x = EDGE;
  for (const [index, time] of times.entries()) {
    const before = times[index - 1];
    if (before !== undefined) {
      const gap = time - before;
      x += (6 + 14 * Math.log10(1 + gap)) * zoom;
      if (gap >= PAUSE_MS) pauses.push({ from: before, to: time });
    }
    xs.push(x);
  }
  return { ...piecewise(times, xs), pauses, isLinear: false };
}

/** Makes an axis on which equal times have equal lengths. */
export function linearScale(moments: number[], zoom: number, fit: number): Scale {
  const times = distinct(moments);
  const [from = 0, to = 0] = [times[0], times.at(-1)];
  const perMs = (Math.max(100, fit - 2 * EDGE) / Math.max(1, to - from)) * zoom;
  const ends = piecewise([from, to], [EDGE, EDGE + (to - from) * perMs]);
  return { ...ends, pauses: [], isLinear: true };
}

/** Returns the zoom with which the even axis of these moments is as wide as `width`. Its edges do not grow with the zoom. */
export function zoomToFit(moments: number[], width: number): number {
  const inner = evenScale(moments, 1).width - 2 * EDGE;
  return Math.max(1, width - 2 * EDGE) / Math.max(1, inner);
}

function piecewise(times: number[], xs: number[]): Pick<Scale, 'width' | 'x' | 'at'> {
  const width = (xs.at(-1) ?? EDGE) + EDGE;
  return { width, x: (at) => map(times, xs, at), at: (x) => map(xs, times, x) };
}

/** Maps a value between two sorted lists, in a straight line between their points. */
function map(from: number[], to: number[], value: number): number {
  let [low, high] = [0, from.length - 1];
  if (high < 0) return 0;
  if (value <= (from[0] ?? 0)) return to[0] ?? 0;
  if (value >= (from[high] ?? 0)) return to[high] ?? 0;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if ((from[middle] ?? 0) <= value) low = middle;
    else high = middle;
  }
  const [a = 0, b = 0, c = 0, d = 0] = [from[low], from[high], to[low], to[high]];
  return b === a ? c : c + ((value - a) / (b - a)) * (d - c);
}

function distinct(moments: number[]): number[] {
  const sorted = moments.slice().sort((a, b) => a - b);
  return sorted.filter((time, index) => index === 0 || time !== sorted[index - 1]);
}
