import { useEffect, useRef, useState } from 'preact/hooks';
import type { EventSummary } from '../../../timeline/event-summary.js';
import { sayEvent } from '../../../timeline/say-event.js';
import { clock, ZONE } from '../format.js';
import { useNarrow } from '../use-media.js';

const HEIGHT = 288;

/** All events as a list. Only the rows that are seen are in the page. */
export function EventList({
  events,
  selected,
  cursor,
  follow,
  onSelect,
}: {
  events: EventSummary[];
  selected: string | undefined;
  cursor: number | undefined;
  follow: boolean;
  onSelect: (key: string) => void;
}) {
  const list = useRef<HTMLDivElement>(null);
  const ROW = useNarrow() ? 40 : 24;
  const [top, setTop] = useState(0);
  const index = selected === undefined ? cursor : events.findIndex(({ id }) => id === selected);
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
  }, [isFollowing, events.length]);
  const first = Math.max(0, Math.floor(top / ROW) - 5);
  const rows = events.slice(first, first + HEIGHT / ROW + 12);
  const step = (event: KeyboardEvent): void => {
    const by = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8 }[event.key];
    if (by === undefined) return;
    event.preventDefault();
    const next = events[Math.min(events.length - 1, Math.max(0, (index ?? -1) + by))];
    if (next !== undefined) onSelect(next.id);
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
        <div
          role="presentation"
          style={{ height: `${events.length * ROW}px`, position: 'relative' }}
        >
          {rows.map((event, at) => {
            const place = first + at;
            const isBad =
              event.kind === 'error' || event.toolError === true || event.type === 'request.failed';
            return (
              <div
                key={`${event.id} ${event.type}`}
                id={`event-${event.id}`}
                role="option"
                aria-selected={event.id === selected}
                aria-posinset={place + 1}
                aria-setsize={events.length}
                class={`event ${isBad ? 'bad' : ''} ${cursor !== undefined && place > cursor ? 'later' : ''}`}
                style={{ top: `${place * ROW}px`, height: `${ROW}px` }}
                onClick={() => onSelect(event.id)}
              >
                <span class="num">{clock(event.at)}</span>
                <span
                  class="way"
                  aria-label={
                    event.direction === 'in'
                      ? 'from the client'
                      : event.direction === 'out'
                        ? 'to the client'
                        : 'happened'
                  }
                >
                  {event.direction === 'in' ? '→' : event.direction === 'out' ? '←' : '•'}
                </span>
                <span class="node">{event.nodeId ?? ''}</span>
                <span class="what">{sayEvent(event)}</span>
              </div>
            );
          })}
        </div>
      </div>
    </>
  );
}
