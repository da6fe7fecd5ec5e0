import { useEffect, useRef } from 'preact/hooks';
import type { Scale } from '../../../timeline/scale.js';
import type { Outcome, Timeline } from '../../../timeline/picture.js';
import { useMedia } from '../use-media.js';

const HEIGHT = 34;
/** The more serious an outcome is, the later it is drawn, so that it stays visible. */
const ORDER: Outcome[] = ['ok', 'unknown', 'pending', 'cancelled', 'tool_error', 'error', 'lost'];

/** The whole session, small. A click moves the picture there. The slider below does the same for the keyboard. */
export function Overview({
  line,
  scale,
  view,
  cursor,
  onMove,
}: {
  line: Timeline;
  scale: Scale;
  view: { left: number; width: number };
  cursor: number | undefined;
  onMove: (at: number) => void;
}) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const isDark = useMedia('(prefers-color-scheme: dark)');
  useEffect(() => {
    const element = canvas.current;
    const context = element?.getContext('2d');
    if (element === null || context === null || context === undefined) return;
    const width = element.clientWidth;
    const ratio = devicePixelRatio;
    element.width = width * ratio;
    element.height = HEIGHT * ratio;
    context.scale(ratio, ratio);
    const style = getComputedStyle(element);
    const color = (name: string): string => style.getPropertyValue(`--${name.replace('_', '-')}`);
    const by = width / Math.max(1, scale.width);
    for (const outcome of ORDER) {
      context.fillStyle = color(outcome);
      for (const bar of line.bars) {
        if (bar.outcome !== outcome) continue;
        const x = scale.x(bar.start) * by;
        const lane = Math.max(0, line.nodes.indexOf(bar.ranBy ?? bar.receivedBy ?? ''));
        const step = (HEIGHT - 8) / Math.max(1, line.nodes.length);
        context.fillRect(
          x,
          4 + lane * step,
          Math.max(1, (scale.x(bar.end ?? line.to) - scale.x(bar.start)) * by),
          Math.max(2, Math.min(8, step - 1)),
        );
      }
    }
    context.fillStyle = color('accent');
    if (cursor !== undefined) context.fillRect(scale.x(cursor) * by - 0.5, 0, 1.5, HEIGHT);
    // The colours are those of the style, which has others in the dark.
  }, [line, scale, cursor, view.width, isDark]);
  const share = (x: number): string => `${(100 * x) / Math.max(1, scale.width)}%`;
  const move = (event: PointerEvent): void => {
    const box = canvas.current?.getBoundingClientRect();
    if (box === undefined || event.buttons === 0) return;
    onMove(scale.at(((event.clientX - box.left) / box.width) * scale.width));
  };
  return (
    <div class="overview" onPointerDown={move} onPointerMove={move}>
      <canvas ref={canvas} style={{ height: `${HEIGHT}px` }} aria-hidden="true" />
      <span
        class="window"
        style={{ left: share(view.left), width: share(Math.min(view.width, scale.width)) }}
      />
    </div>
  );
}
