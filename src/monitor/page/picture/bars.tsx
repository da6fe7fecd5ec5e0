import type { Layout, Placed } from '../../../timeline/layout.js';
import { lasted } from '../../../timeline/explain.js';
import type { Scale } from '../../../timeline/scale.js';
import type { Bar, Timeline } from '../../../timeline/picture.js';
import { rowTop, type LaneBox, type Visible } from './boxes.js';

interface Props {
  placed: Layout;
  scale: Scale;
  boxes: LaneBox[];
  visible: Visible;
}

const SHORTEST = 4;
/** A row has no more than one bar in so many pixels. */
const APART = 1;

interface Drawn {
  item: Placed;
  x: number;
  width: number;
  y: number;
  height: number;
  /** How much room is on its right, up to the next bar of the row. */
  free: number;
}

/** Selects the bars that are seen. Of bars that fall on the same pixel of a row, only the first is drawn. */
function drawn({ placed, scale, boxes, visible }: Props): Drawn[] {
  const list: Drawn[] = [];
  const before = new Map<number, Drawn>();
  for (const item of placed.bars) {
    const x = scale.x(item.start);
    if (x > visible.to) continue;
    const end = scale.x(item.end);
    if (end < visible.from) continue;
    const width = Math.max(SHORTEST, end - x);
    const slot = item.lane * 1000 + item.row * 3 + (item.form === 'inner' ? 1 : 0);
    const last = before.get(slot);
    if (last !== undefined) {
      last.free = Math.min(last.free, x - last.x - last.width);
      if (x + width <= last.x + last.width + APART) continue;
    }
    const top = rowTop(boxes[item.lane], item.row);
    const place =
      item.form === 'main'
        ? { y: top, height: 22 }
        : item.form === 'inner'
          ? { y: top + 13, height: 7 }
          : item.form === 'handler'
            ? { y: top, height: 15 }
            : { y: top + 2, height: 7 };
    const bar = { item, x, width, ...place, free: visible.to - 60 - x - width };
    before.set(slot, bar);
    list.push(bar);
  }
  return list;
}

export function Bars(
  props: Props & {
    selected: string | undefined;
    cursor: number | undefined;
    onSelect: (key: string) => void;
  },
) {
  const { selected, cursor, boxes, onSelect } = props;
  return (
    <g>
      {drawn(props).map((each) => {
        const { item, x, width, y, height } = each;
        const { bar, form, lane } = item;
        const isMain = form === 'main' || form === 'inner';
        const later = cursor !== undefined && bar.start > cursor;
        const name = `${bar.label} #${String(bar.requestId)}: ${outcomeName(bar)}${bar.end === undefined ? '' : `, ${lasted(bar.end - bar.start)}`}`;
        return (
          <g
            key={`${bar.key} ${lane} ${form}`}
            class={`bar ${form} ${bar.kind} ${bar.outcome} ${selected === bar.key ? 'selected' : ''} ${later ? 'later' : ''} ${bar.stranded === true ? 'stranded' : ''}`}
            data-key={isMain ? bar.key : undefined}
            data-outcome={bar.outcome}
            role={isMain ? 'img' : undefined}
            aria-label={isMain ? name : undefined}
            onClick={(event) => {
              event.stopPropagation();
              onSelect(bar.key);
            }}
          >
            {isMain && <title>{bar.why === undefined ? name : `${name}. ${bar.why}`}</title>}
            {form === 'main' && (
              <rect
                class="hit"
                x={x - 4}
                y={y - 2}
                width={width + 8}
                height={boxes[lane]?.rowHeight ?? height}
              />
            )}
            <rect x={x} y={y} width={width} height={height} rx={form === 'main' ? 4 : 3} />
            {(form === 'main' || form === 'handler') && (
              <Label bar={each} from={props.visible.from + 62} />
            )}
          </g>
        );
      })}
    </g>
  );
}

export function outcomeName({ outcome, stranded }: Bar): string {
  return stranded === true ? 'its node is dead' : outcome.replace('_', ' ');
}

/** A character is about so wide. */
const CHARACTER = 6.4;

/** With more bars, too many are too close to each other for names. */
const MOST_NAMED = 400;

/** Returns the function that says when the name beside a bar ends. `undefined`: the bars have no names beside them. */
export function reachOn(scale: Scale, { bars, to }: Timeline): ((bar: Bar) => number) | undefined {
  if (bars.length > MOST_NAMED) return undefined;
  return ({ start, end = to, label }) => {
    const [x, width] = [scale.x(end), label.length * CHARACTER];
    if (width + 10 <= x - scale.x(start)) return end;
    return scale.at(Math.max(x, scale.x(start) + SHORTEST) + width + 14);
  };
}

/** What a bar says: its name and how long it took. In the lane of the handler, the node on which it ran. */
function textsOf({ bar, form }: Placed): string[] {
  const took = bar.end === undefined ? '' : ` · ${lasted(bar.end - bar.start)}`;
  const name = form === 'handler' ? `on ${bar.ranBy ?? bar.receivedBy ?? '?'}` : bar.label;
  return [`${name}${took}`, name];
}

/** The text of a bar stands in it, or beside it where only that has room. `from`: where the picture begins that is seen. */
function Label({ bar: { item, x, width, y, height, free }, from }: { bar: Drawn; from: number }) {
  const start = Math.max(x, from);
  const most = Math.floor((x + width - start - 10) / CHARACTER);
  const texts = textsOf(item);
  const inside = texts.find(({ length }) => length <= most);
  const beside = texts.find(({ length }) => length * CHARACTER + 12 <= free);
  const [name = ''] = texts.slice(-1);
  const text = inside ?? beside ?? (most < 4 ? '' : `${name.slice(0, most - 1)}…`);
  const isBeside = inside === undefined && beside !== undefined;
  if (text === '') return null;
  return (
    <text
      class={isBeside ? 'beside' : ''}
      x={isBeside ? x + width + 5 : start + 6}
      y={y + (height > 20 && item.bar.kind === 'call' && !isBeside ? 12 : height / 2 + 4)}
    >
      {text}
    </text>
  );
}

/** The arrow to a call and the one back need so many pixels between them. */
const SHORT = 16;

function isReverse(there: number[], back: number[]): boolean {
  const distinct = (lanes: number[]): number[] =>
    lanes.filter((lane, at) => lane !== lanes[at - 1]);
  return distinct(there).join() === distinct(back).reverse().join();
}

/** Returns the path of an arrow's head. `d`: towards its end, negative if the arrow goes down. */
function head(x: number, y: number, d: number): string {
  return `M${x - 3} ${y + d}L${x} ${y}L${x + 3} ${y + d}`;
}

/** The ways of messages between the lanes. They are left out where there are too many to tell apart. */
const MOST_HOPS = 260;

export function Hops({ placed, scale, boxes, visible }: Props) {
  const index = new Map(boxes.map(({ name }, at) => [name, at]));
  const hops: { x: number; from: number; to: number; bar: Bar; isBoth: boolean }[] = [];
  for (const { bar, form } of placed.bars) {
    if (form === 'line' || form === 'handler') continue;
    const [start, end] = [scale.x(bar.start), bar.end === undefined ? undefined : scale.x(bar.end)];
    const lanesOf = (names: (string | null | undefined)[]): number[] =>
      names.flatMap((name) => index.get(name ?? '') ?? []);
    const add = (x: number | undefined, lanes: number[], isBoth = false): void => {
      if (x === undefined || x < visible.from || x > visible.to) return;
      lanes.forEach((to, at) => {
        const from = lanes[at - 1];
        // The parts of one way stand beside each other.
        if (from !== undefined && from !== to)
          hops.push({ x: x + (at - 1) * 5, from, to, bar, isBoth });
      });
    };
    if (bar.kind === 'call') {
      const there = lanesOf(['client', bar.receivedBy, bar.ranBefore ?? bar.ranBy]);
      const { outcome, endedBy, ranBy, shownBy } = bar;
      const back = lanesOf([outcome === 'lost' ? endedBy : ranBy, shownBy, 'client']);
      // The answer of a short call goes the same way back, and two arrows would stand in each other's way.
      const isShort = end !== undefined && end - start < SHORT;
      const isBoth = isShort && outcome !== 'cancelled' && isReverse(there, back);
      add(start, there, isBoth);
      if (outcome !== 'cancelled' && !isBoth) add(end, back);
    } else {
      add(start, lanesOf([bar.receivedBy, bar.shownBy, 'client']));
      add(end, lanesOf(['client', bar.answeredBy, bar.receivedBy]));
    }
  }
  if (hops.length > MOST_HOPS) return null;
  return (
    <g class="hops" aria-hidden="true">
      {hops.map(({ x, from, to, bar, isBoth }, at) => {
        const [a, b] = [boxes[from], boxes[to]];
        if (a === undefined || b === undefined) return null;
        const y0 = from < to ? a.rows + 6 : a.rows + 4;
        const y1 = from < to ? b.rows + 4 : b.rows + (to === 0 ? 9 : 14);
        const d = y1 > y0 ? -4 : 4;
        return (
          <path
            key={at}
            class={`${bar.outcome} ${bar.kind}`}
            data-from={a.name}
            data-to={b.name}
            d={`M${x} ${y0}V${y1}${head(x, y1, d)}${isBoth ? head(x, y0, -d) : ''}`}
          />
        );
      })}
    </g>
  );
}
