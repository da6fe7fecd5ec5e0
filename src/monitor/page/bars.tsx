import type { Layout, Placed } from '../../timeline/layout.js';
import { lasted } from '../../timeline/explain.js';
import type { Scale } from '../../timeline/scale.js';
import type { Bar } from '../../timeline/picture.js';
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
}

/** Selects the bars that are seen. Of bars that fall on the same pixel of a row, only the first is drawn. */
function drawn({ placed, scale, boxes, visible }: Props): Drawn[] {
  const list: Drawn[] = [];
  const reached = new Map<number, number>();
  for (const item of placed.bars) {
    const x = scale.x(item.start);
    if (x > visible.to) continue;
    const end = scale.x(item.end);
    if (end < visible.from) continue;
    const width = Math.max(SHORTEST, end - x);
    const slot = item.lane * 1000 + item.row * 3 + (item.form === 'inner' ? 1 : 0);
    const last = reached.get(slot);
    if (last !== undefined && x + width <= last + APART) continue;
    reached.set(slot, x + width);
    const top = rowTop(boxes[item.lane], item.row);
    const place =
      item.form === 'main'
        ? { y: top, height: 22 }
        : item.form === 'inner'
          ? { y: top + 13, height: 7 }
          : { y: top + 2, height: 7 };
    list.push({ item, x, width, ...place });
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
  const { selected, cursor, onSelect } = props;
  return (
    <g>
      {drawn(props).map(({ item: { bar, form, lane }, x, width, y, height }) => {
        const isMain = form !== 'line';
        const later = cursor !== undefined && bar.start > cursor;
        const name = `${bar.label} #${String(bar.requestId)}: ${outcomeName(bar)}${bar.end === undefined ? '' : `, ${lasted(bar.end - bar.start)}`}`;
        const room = width - 10;
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
            <rect x={x} y={y} width={width} height={height} rx={form === 'main' ? 4 : 3} />
            {form === 'main' && room > 26 && (
              <text
                x={Math.max(x, props.visible.from + 62) + 6}
                y={y + (bar.kind === 'call' ? 12 : 15)}
              >
                {fit(bar, Math.min(room, x + width - Math.max(x, props.visible.from + 62) - 10))}
              </text>
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

function fit({ label }: Bar, room: number): string {
  const most = Math.floor(room / CHARACTER);
  if (label.length <= most) return label;
  return most < 4 ? '' : `${label.slice(0, most - 1)}…`;
}

/** The ways of messages between the lanes. They are left out where there are too many to tell apart. */
const MOST_HOPS = 260;

export function Hops({ placed, scale, boxes, visible }: Props) {
  const index = new Map(boxes.map(({ name }, at) => [name, at]));
  const hops: { x: number; from: number; to: number; bar: Bar }[] = [];
  for (const { bar, form } of placed.bars) {
    if (form === 'line') continue;
    const [start, end] = [scale.x(bar.start), bar.end === undefined ? undefined : scale.x(bar.end)];
    const add = (x: number | undefined, names: (string | null | undefined)[]): void => {
      if (x === undefined || x < visible.from || x > visible.to) return;
      const lanes = names.flatMap((name) => index.get(name ?? '') ?? []);
      lanes.forEach((to, at) => {
        const from = lanes[at - 1];
        // The parts of one way stand beside each other.
        if (from !== undefined && from !== to) hops.push({ x: x + (at - 1) * 5, from, to, bar });
      });
    };
    if (bar.kind === 'call') {
      add(start, ['client', bar.receivedBy, bar.ranBefore ?? bar.ranBy]);
      if (bar.outcome !== 'cancelled')
        add(end, [bar.outcome === 'lost' ? bar.endedBy : bar.ranBy, bar.shownBy, 'client']);
    } else {
      add(start, [bar.receivedBy, bar.shownBy, 'client']);
      add(end, ['client', bar.answeredBy, bar.receivedBy]);
    }
  }
  if (hops.length > MOST_HOPS) return null;
  return (
    <g class="hops" aria-hidden="true">
      {hops.map(({ x, from, to, bar }, at) => {
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
            d={`M${x} ${y0}V${y1}M${x - 3} ${y1 + d}L${x} ${y1}L${x + 3} ${y1 + d}`}
          />
        );
      })}
    </g>
  );
}
