import type { Layout } from '../../../timeline/layout.js';
import { sayMark } from '../../../timeline/mermaid.js';
import type { Scale } from '../../../timeline/scale.js';
import type { Mark } from '../../../timeline/picture.js';
import type { LaneBox, Visible } from './boxes.js';
import { clock } from '../format.js';

interface Props {
  placed: Layout;
  scale: Scale;
  boxes: LaneBox[];
  visible: Visible;
}

export function Stretches({ placed, scale, boxes, visible }: Props) {
  return (
    <g class="stretches">
      {placed.stretches.map(({ stretch, lane, row, to }) => {
        const [x0, x1] = [scale.x(stretch.from), scale.x(to)];
        const box = boxes[lane];
        if (box === undefined || x1 < visible.from || x0 > visible.to) return null;
        const left = Math.max(x0, visible.from - 10);
        const what = stretch.stream === 'g' ? 'GET stream' : 'stream of a call';
        return (
          <g
            key={`${stretch.stream} ${stretch.from} ${stretch.node}`}
            class={stretch.stream === 'g' ? 'get' : 'post'}
            data-stream={stretch.stream}
            data-node={stretch.node}
          >
            <title>{`${what}, held by node ${stretch.node}`}</title>
            <rect
              x={left}
              y={box.top + (row === 0 ? 5 : 14)}
              width={Math.max(3, Math.min(x1, visible.to + 10) - left)}
              height={row === 0 ? 5 : 3}
              rx={2}
            />
          </g>
        );
      })}
    </g>
  );
}

/** Marks of one lane are at least so far apart. Where more happen, only the first is drawn. */
const APART = 3;
/** A mark other than a message is so wide. One that would cover another stands beside it, but no further away than `MOST_ASIDE`. */
const WIDE = 14;
const MOST_ASIDE = 4 * WIDE;

export function Marks(
  props: Props & { selected: string | undefined; height: number; onSelect: (key: string) => void },
) {
  const { placed, scale, boxes, visible, selected, height, onSelect } = props;
  const reached = new Map<string, number>();
  const taken = new Map<number, number>();
  return (
    <g class="marks">
      {placed.marks.map(({ mark, lane }, at) => {
        const x = scale.x(mark.at);
        const box = boxes[lane];
        if (box === undefined || x < visible.from || x > visible.to) return null;
        const isSmall = mark.kind === 'message';
        const slot = `${lane} ${isSmall ? '' : mark.kind}`;
        const last = reached.get(slot);
        if (last !== undefined && x - last < APART && selected !== mark.key) return null;
        reached.set(slot, x);
        const aside = isSmall ? x : Math.max(x, (taken.get(lane) ?? -Infinity) + WIDE);
        if (aside - x > MOST_ASIDE && selected !== mark.key) return null;
        if (!isSmall) taken.set(lane, aside);
        const text = `${sayMark(mark)}${mark.node === undefined ? '' : ` · node ${mark.node}`} · ${clock(mark.at)}`;
        const isWhole = ['trimmed', 'closed', 'died'].includes(mark.kind);
        return (
          <g
            key={`${mark.key} ${mark.kind} ${at}`}
            class={`mark ${mark.kind} ${mark.shownBy === null ? 'waits' : ''} ${mark.direction ?? ''} ${selected === mark.key ? 'selected' : ''}`}
            data-key={mark.key}
            data-kind={mark.kind}
            role="img"
            aria-label={text}
            onClick={(event) => {
              event.stopPropagation();
              onSelect(mark.key);
            }}
          >
            <title>{text}</title>
            {isWhole && (
              <line
                x1={x}
                x2={x}
                y1={mark.kind === 'died' ? box.top : 24}
                y2={mark.kind === 'died' ? box.bottom : height}
              />
            )}
            <rect class="target" x={aside - 8} y={box.top} width={16} height={20} />
            <Glyph mark={mark} x={aside} y={box.top + (isSmall ? 16 : 9)} />
          </g>
        );
      })}
    </g>
  );
}

export function Glyph({
  mark: { kind, direction },
  x,
  y,
}: {
  mark: Pick<Mark, 'kind' | 'direction'>;
  x: number;
  y: number;
}) {
  switch (kind) {
    case 'message':
      return (
        <path
          class="glyph"
          d={direction === 'in' ? `M${x - 3} ${y - 3}h6l-3 5z` : `M${x - 3} ${y + 2}h6l-3 -5z`}
        />
      );
    case 'died':
    case 'failed':
      return <path class="glyph stroke" d={`M${x - 5} ${y - 5}l10 10M${x + 5} ${y - 5}l-10 10`} />;
    case 'cut':
      return (
        <path
          class="glyph stroke"
          d={`M${x - 4} ${y - 6}l3 4l-4 3l4 5M${x + 4} ${y - 6}l-2 4l3 3l-4 5`}
        />
      );
    case 'resumed':
    case 'moved':
    case 'recovered':
      return (
        <path
          class="glyph stroke"
          d={`M${x + 5} ${y - 1}a5 5 0 1 1 -2 -4M${x + 5} ${y - 7}v4h-4`}
        />
      );
    case 'cancelled':
    case 'closed':
      return <path class="glyph" d={`M${x - 4} ${y - 4}h8v8h-8z`} />;
    default:
      return <circle class="glyph" cx={x} cy={y} r={4.5} />;
  }
}
