import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { lasted } from '../../../timeline/explain.js';
import type { Layout } from '../../../timeline/layout.js';
import { CLIENT, HANDLER } from '../../../timeline/layout.js';
import type { Scale } from '../../../timeline/scale.js';
import type { Timeline } from '../../../timeline/picture.js';
import { Bars, Hops } from './bars.js';
import { laneTops, type LaneBox } from './boxes.js';
import { clock } from '../format.js';
import { Marks, Stretches } from './marks.js';
import { useNarrow } from '../use-media.js';

interface Props {
  line: Timeline;
  placed: Layout;
  scale: Scale;
  selected: string | undefined;
  cursor: number | undefined;
  follow: boolean;
  goTo: { at: number } | undefined;
  onSelect: (key: string | undefined, move?: boolean) => void;
  onView: (view: { left: number; width: number }) => void;
  onFollow: (follow: boolean) => void;
  onZoom: (factor: number) => void;
}

const AXIS = 26;
/** Room on the left of the picture, for the names of the lanes. */
const NAMES = 118;

/** The picture. Only what is seen is drawn. */
export function Lanes(props: Props) {
  const {
    line,
    placed,
    scale,
    selected,
    cursor,
    follow,
    goTo,
    onSelect,
    onView,
    onFollow,
    onZoom,
  } = props;
  const scroller = useRef<HTMLDivElement>(null);
  const [view, setView] = useState({ left: 0, width: 800 });
  const isNarrow = useNarrow();
  const boxes = useMemo(() => laneTops(placed.lanes, AXIS, isNarrow), [placed, isNarrow]);
  const height = (boxes.at(-1)?.bottom ?? AXIS) + 14;
  const own = useRef(-1);

  const look = (): void => {
    const element = scroller.current;
    if (element === null) return;
    const next = { left: element.scrollLeft, width: Math.max(100, element.clientWidth - NAMES) };
    setView((before) => (before.left === next.left && before.width === next.width ? before : next));
    onView(next);
  };
  useEffect(() => {
    const element = scroller.current;
    if (element === null) return;
    const watch = new ResizeObserver(() => stay.current());
    watch.observe(element);
    look();
    return () => watch.disconnect();
  }, []);
  const scrollTo = (left: number): void => {
    const element = scroller.current;
    if (element === null) return;
    own.current = Math.max(0, Math.round(left));
    element.scrollLeft = own.current;
    own.current = element.scrollLeft;
    look();
  };
  // A window of another size is no scrolling of the user: the newest events stay in view.
  const stay = useRef(look);
  stay.current = () => (follow ? scrollTo(scale.width) : look());
  useEffect(() => {
    if (follow) scrollTo(scale.width);
  }, [follow, scale]);
  useEffect(() => {
    if (goTo === undefined) return;
    const x = scale.x(goTo.at);
    if (x < view.left + 40 || x > view.left + view.width - 40) scrollTo(x - view.width / 2);
  }, [goTo]);
  // The moment in the middle stays where it is when the scale changes.
  const middle = useRef(0);
  useEffect(() => {
    if (!follow && middle.current > 0) scrollTo(scale.x(middle.current) - view.width / 2);
  }, [scale.x]);
  middle.current = scale.at(view.left + view.width / 2);

  const items = useMemo(
    () =>
      [
        ...line.bars.map(({ key, start }) => ({ key, at: start })),
        ...line.marks.map(({ key, at }) => ({ key, at })),
      ].sort((a, b) => a.at - b.at || counterOf(a.key) - counterOf(b.key)),
    [line],
  );
  const step = (by: number): void => {
    const index = items.findIndex(({ key }) => key === selected);
    const from =
      index < 0 ? items.findIndex(({ at }) => scale.x(at) >= view.left) - (by > 0 ? 1 : 0) : index;
    let next = from + by;
    while (items[next]?.key === selected && items[next] !== undefined) next += by;
    const item = items[Math.min(items.length - 1, Math.max(0, next))];
    if (item !== undefined) onSelect(item.key, true);
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    const keys: Record<string, () => void> = {
      ArrowRight: () => step(1),
      ArrowLeft: () => step(-1),
      PageDown: () => scrollTo(view.left + view.width * 0.8),
      PageUp: () => scrollTo(view.left - view.width * 0.8),
      Home: () => onSelect(items[0]?.key, true),
      End: () => onSelect(items.at(-1)?.key, true),
      Escape: () => onSelect(undefined),
      '+': () => onZoom(1.5),
      '-': () => onZoom(1 / 1.5),
    };
    const act = event.ctrlKey || event.metaKey || event.altKey ? undefined : keys[event.key];
    if (act === undefined) return;
    event.preventDefault();
    act();
  };
  const visible = { from: view.left - 60, to: view.left + view.width + 60 };
  const total = scale.width + NAMES;
  return (
    <div
      class="lanes"
      ref={scroller}
      tabIndex={0}
      role="region"
      aria-label="Lanes of the session. The arrow keys go from event to event, plus and minus zoom."
      onKeyDown={onKeyDown}
      onScroll={() => {
        const element = scroller.current;
        const isResized = element !== null && element.clientWidth - NAMES !== view.width;
        look();
        if (element === null || isResized || Math.abs(element.scrollLeft - own.current) < 2) return;
        own.current = -1;
        onFollow(element.scrollLeft + element.clientWidth >= element.scrollWidth - 4);
      }}
      onWheel={(event) => {
        if (!event.ctrlKey) return;
        event.preventDefault();
        onZoom(event.deltaY < 0 ? 1.2 : 1 / 1.2);
      }}
    >
      <div class="canvas" style={{ width: `${total}px`, height: `${height}px` }}>
        <Names boxes={boxes} height={height} line={line} isLinear={scale.isLinear} />
        <svg
          class="drawing"
          style={{ left: `${NAMES + view.left}px` }}
          width={view.width}
          height={height}
          viewBox={`${view.left} 0 ${view.width} ${height}`}
          role="group"
          aria-label={`${line.bars.length} requests on ${line.nodes.length} nodes`}
          onClick={() => onSelect(undefined)}
        >
          {boxes.map(({ name, top, bottom }, index) => (
            <rect
              class={`band ${index % 2 === 0 ? 'even' : ''}`}
              key={name}
              x={view.left}
              y={top}
              width={view.width}
              height={bottom - top}
            />
          ))}
          <Axis scale={scale} view={view} height={height} />
          <Stretches {...{ placed, scale, boxes, visible }} />
          <Hops {...{ placed, scale, boxes, visible }} />
          <Bars {...{ placed, scale, boxes, visible, selected, cursor, onSelect }} />
          <Marks {...{ placed, scale, boxes, visible, selected, height, onSelect }} />
          {cursor !== undefined && (
            <line class="cursor" x1={scale.x(cursor)} x2={scale.x(cursor)} y1={0} y2={height} />
          )}
        </svg>
      </div>
    </div>
  );
}

function Names({
  boxes,
  height,
  line,
  isLinear,
}: {
  boxes: LaneBox[];
  height: number;
  line: Timeline;
  isLinear: boolean;
}) {
  const dead = new Set(line.dead);
  return (
    <ol class="names" style={{ height: `${height}px`, width: `${NAMES}px` }} aria-label="Lanes">
      <li class="corner" style={{ height: `${AXIS}px` }}>
        {isLinear ? 'time, to scale' : 'time, not to scale'}
      </li>
      {boxes.map(({ name, top, bottom }) => (
        <li
          key={name}
          data-lane={name}
          class={dead.has(name) ? 'dead' : ''}
          style={{ top: `${top}px`, height: `${bottom - top}px` }}
        >
          <span>
            {name === CLIENT || name === HANDLER ? '' : dead.has(name) ? 'dead node ' : 'node '}
          </span>
          <b>{name}</b>
        </li>
      ))}
    </ol>
  );
}

function Axis({
  scale,
  view,
  height,
}: {
  scale: Scale;
  view: { left: number; width: number };
  height: number;
}) {
  const ticks: { x: number; at: number }[] = [];
  const gap = 130;
  for (
    let x = Math.max(24, Math.ceil(view.left / gap) * gap);
    x < Math.min(view.left + view.width, scale.width - 20);
    x += gap
  ) {
    ticks.push({ x, at: scale.at(x) });
  }
  const pauses = scale.pauses
    .map(({ from, to }) => ({ x0: scale.x(from), x1: scale.x(to), ms: to - from }))
    .filter(({ x0, x1 }) => x1 > view.left && x0 < view.left + view.width);
  return (
    <g class="axis" aria-hidden="true">
      <defs>
        <pattern
          id="gap"
          width="7"
          height="7"
          patternUnits="userSpaceOnUse"
          patternTransform="rotate(45)"
        >
          <path class="hatch" d="M0 0V7" />
        </pattern>
      </defs>
      {pauses.map(({ x0, x1, ms }) => (
        <g key={x0}>
          <rect
            class="pause"
            fill="url(#gap)"
            x={x0}
            y={AXIS}
            width={x1 - x0}
            height={height - AXIS}
          />
          {x1 - x0 > 34 && (
            <text class="pause-text" x={(x0 + x1) / 2} y={height - 3} text-anchor="middle">
              {lasted(ms)}
            </text>
          )}
        </g>
      ))}
      {ticks.map(({ x, at }) => (
        <g key={x}>
          <line x1={x} x2={x} y1={AXIS - 6} y2={height} />
          <text x={x + 3} y={15}>
            {clock(at)}
          </text>
        </g>
      ))}
    </g>
  );
}

/** The second part of an event's id tells events of the same millisecond apart. */
function counterOf(key: string): number {
  return Number(key.split('-')[1]);
}
