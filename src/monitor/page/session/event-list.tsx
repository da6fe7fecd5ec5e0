import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import type { EventSummary } from '../../../timeline/event-summary.js';
import type { Timeline } from '../../../timeline/picture.js';
import { logRows } from '../../../timeline/log-rows.js';
import { clock, ZONE } from '../format.js';
import { useNarrow } from '../use-media.js';

const HEIGHT = 288;

/** All events as a list, and connections. Only the rows that are seen are in the page. `cursor`: an index of `events`. */
export function EventList({
  events,
  line,
  selected,
  cursor,
  follow,
  onSelect,
}: {
  events: EventSummary[];
  line: Timeline;
  selected: string | undefined;
  cursor: number | undefined;
  follow: boolean;
  onSelect: (key: string) => void;
}) {
  const list = useRef<HTMLDivElement>(null);
  const ROW = useNarrow() ? 40 : 24;
  const [top, setTop] = useState(0);
  const log = useMemo(() => logRows(events, line), [events, line]);
  const index =
    selected === undefined && cursor === undefined
      ? undefined
      : log.findIndex(
          ({ event, place, is }) =>
            is === 'event' && (selected === undefined ? place === cursor : event.id === selected),
        );
  useEffect(() => {
    const element = list.current;
    if (element === null || index === undefined || index < 0) return;
    const y = index * ROW;
    if (y < element.scrollTop || y > element.scrollTop + HEIGHT - 2 * ROW)
      element.scrollTop = y - HEIGHT / 2;
  }, [index]);
  const isFollowing = follow && index === undefined;
  useEffect(() => {
    const element = list.current;
    if (element !== null && isFollowing) element.scrollTop = element.scrollHeight;
  }, [isFollowing, log.length]);
  const first = Math.max(0, Math.floor(top / ROW) - 5);
  const rows = log.slice(first, first + HEIGHT / ROW + 12);
  const step = (event: KeyboardEvent): void => {
    const by = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8 }[event.key];
    if (by === undefined) return;
    event.preventDefault();
    let place = Math.min(log.length - 1, Math.max(0, (index ?? -1) + by));
    // Rows about connections cannot be selected by themselves. Beyond the last event, that is selected.
    const isBetween = () => log[place] !== undefined && log[place]?.is !== 'event';
    while (isBetween()) place += Math.sign(by);
    if (log[place] === undefined) place -= Math.sign(by);
    while (isBetween()) place -= Math.sign(by);
    const next = log[place];
    if (next !== undefined) onSelect(next.event.id);
  };
  return (
    <>
      <div class="event-names" aria-hidden="true">
        <span>time ({ZONE})</span>
        <span />
        <span class="node">node</span>
        <span>event</span>
      </div>
      <div
        class="events"
        ref={list}
        tabIndex={0}
        role="listbox"
        aria-label={`${events.length} events`}
        aria-activedescendant={selected === undefined ? undefined : `event-${selected}`}
        onScroll={(event) => setTop(event.currentTarget.scrollTop)}
        onKeyDown={step}
      >
        <div role="presentation" style={{ height: `${log.length * ROW}px`, position: 'relative' }}>
          {rows.map(({ key, at, event, place, is, node, text }, index) => {
            const row = first + index;
            const isDerived = is !== 'event';
            const direction = isDerived ? undefined : event.direction;
            const isBad =
              !isDerived &&
              (event.kind === 'error' ||
                event.toolError === true ||
                event.type === 'request.failed');
            return (
              <div
                key={key}
                id={isDerived ? undefined : `event-${event.id}`}
                role="option"
                aria-selected={!isDerived && event.id === selected}
                aria-posinset={row + 1}
                aria-setsize={log.length}
                class={`event ${isBad ? 'bad' : ''} ${isDerived ? 'derived' : ''} ${cursor !== undefined && place > cursor ? 'later' : ''}`}
                style={{ top: `${row * ROW}px`, height: `${ROW}px` }}
                onClick={() => onSelect(event.id)}
              >
                <span class="num">{clock(at)}</span>
                <span
                  class="way"
                  aria-label={
                    direction === 'in'
                      ? 'from the client'
                      : direction === 'out'
                        ? 'to the client'
                        : 'happened'
                  }
                >
                  {direction === 'in' ? '→' : direction === 'out' ? '←' : '•'}
                </span>
                <span class="node">{node ?? ''}</span>
                <span class="what">{text}</span>
              </div>
            );
          })}
        </div>
      </div>
    </>
  );
}
