import { useMemo, useState } from 'preact/hooks';
import { layout } from '../../../timeline/layout.js';
import { evenScale, linearScale, zoomToFit } from '../../../timeline/scale.js';
import { EventList } from './event-list.js';
import type { Feed } from '../feed.js';
import { count } from '../format.js';
import { reachOn } from '../picture/bars.js';
import { Lanes } from '../picture/lanes.js';
import { Colours, Legend } from '../picture/legend.js';
import { Scrubber, useMoment } from '../picture/moment.js';
import { Overview } from '../picture/overview.js';
import { Panel } from './panel.js';
import { SessionHead } from './session-head.js';
import { TroubleBanner } from '../trouble.js';
import { useNarrow } from '../use-media.js';
import { useSession, useTimeline } from './use-session.js';

/** A session with no more events is shown as a whole at first. */
const FITS = 150;
const LEAST_ZOOM = 0.01;
const MOST_ZOOM = 20;

export function SessionPage({ feed, prefix }: { feed: Feed; prefix: string }) {
  const data = useSession(feed, prefix);
  const offline = feed.offline !== undefined;
  const line = useTimeline(data, offline);
  const [chosenZoom, setZoom] = useState(1);
  const [fit, setFit] = useState<'at first' | 'yes' | 'no'>('at first');
  const [even, setEven] = useState(true);
  const [follow, setFollow] = useState(true);
  const [selected, setSelected] = useState<string>();
  const [cursor, setCursor] = useState<number>();
  const [view, setView] = useState({ left: 0, width: 0 });
  const [goTo, setGoTo] = useState<{ at: number }>();
  const { events } = data;
  const moments = useMemo(() => [...events.map(({ at }) => at), line.to], [events, line.to]);
  // A short session is shown as a whole at first.
  const isFit = fit === 'yes' || (fit === 'at first' && events.length <= FITS);
  const room = Math.max(100, view.width - 2);
  const zoom = isFit ? (even ? zoomToFit(moments, room) : 1) : chosenZoom;
  const scale = useMemo(
    () => (even ? evenScale(moments, zoom) : linearScale(moments, zoom, room)),
    [moments, zoom, even, even ? 0 : room],
  );
  // A narrow window has no room for names beside the bars: the picture would be taller than the window.
  const isNarrow = useNarrow();
  const placed = useMemo(
    () => layout(line, isNarrow ? undefined : reachOn(scale, line)),
    [line, scale, isNarrow],
  );
  const zoomBy = (factor: number): void => {
    setFit('no');
    setZoom(Math.min(MOST_ZOOM, Math.max(LEAST_ZOOM, zoom * factor)));
  };
  const isLive = data.live && !data.ended && !offline && data.trouble === undefined;
  const moment = useMoment(feed, data, line, cursor);
  const at = cursor === undefined ? undefined : events[cursor]?.at;
  const select = (key: string | undefined, move = false): void => {
    setSelected(key);
    const event = move ? events.find(({ id }) => id === key) : undefined;
    if (event !== undefined) {
      setFollow(false);
      setGoTo({ at: event.at });
    }
  };
  if (data.missing)
    return (
      <p class="empty" role="status">
        There is no session whose id begins with “{prefix}”. It may have ended: what is stored of a
        session goes with it. <a href="#/sessions">Show the sessions that there are</a>
      </p>
    );
  if (data.trouble !== undefined && events.length === 0)
    return (
      <p class="banner bad" role="alert">
        {data.trouble.text}. The page tries again by itself.
      </p>
    );
  if (events.length === 0)
    return (
      <p class="empty" role="status">
        Reading the session…
      </p>
    );
  return (
    <div class="session">
      <SessionHead
        feed={feed}
        data={data}
        failed={
          line.bars.filter(({ outcome }) => ['error', 'tool_error', 'lost'].includes(outcome))
            .length
        }
        calls={line.bars.length}
      />
      {data.trouble !== undefined && <TroubleBanner trouble={data.trouble} />}
      {data.dropped > 0 && (
        <p class="banner warn" role="status">
          {count(data.dropped)} older events are not shown here.
        </p>
      )}
      <div class="split">
        <div class="picture">
          <div class="tools" role="toolbar" aria-label="Picture">
            <span class="condition" role="status">
              <span class={`live ${isLive ? 'on' : ''}`} aria-hidden="true" />
              {data.ended
                ? 'Ended'
                : offline
                  ? 'File'
                  : data.trouble === undefined
                    ? 'Live'
                    : 'Interrupted'}
            </span>
            <button
              type="button"
              aria-pressed={follow}
              disabled={offline || data.ended}
              onClick={() => setFollow(!follow)}
              title="Move the picture along with new events"
            >
              Newest in view
            </button>
            <span class="group">
              <button type="button" onClick={() => zoomBy(1 / 1.5)} aria-label="Zoom out">
                −
              </button>
              <output aria-label="Zoom">{Math.round(zoom * 100)} %</output>
              <button type="button" onClick={() => zoomBy(1.5)} aria-label="Zoom in">
                +
              </button>
              <button
                type="button"
                aria-pressed={isFit}
                onClick={() => setFit('yes')}
                title="Show the whole session, and keep it so"
              >
                Fit
              </button>
            </span>
            <span class="group">
              <button
                type="button"
                aria-pressed={even}
                onClick={() => setEven(true)}
                title="Short calls stay visible, pauses are drawn short"
              >
                Readable
              </button>
              <button
                type="button"
                aria-pressed={!even}
                onClick={() => setEven(false)}
                title="Equal times have equal lengths"
              >
                To scale
              </button>
            </span>
            <Colours />
          </div>
          <Legend />
          <Lanes
            {...{ line, placed, scale, selected, follow, goTo }}
            cursor={at}
            onSelect={select}
            onView={setView}
            onFollow={setFollow}
            onZoom={zoomBy}
          />
          <Overview
            {...{ line, scale, view }}
            cursor={at}
            onMove={(to) => {
              setFollow(false);
              setGoTo({ at: to });
            }}
          />
          <Scrubber
            {...{ events, cursor, moment }}
            onMove={(index) => {
              setCursor(index);
              const to = index === undefined ? undefined : events[index]?.at;
              if (to === undefined) return;
              setFollow(false);
              setGoTo({ at: to });
            }}
          />
          <EventList
            events={events}
            line={line}
            selected={selected}
            cursor={cursor}
            follow={follow}
            onSelect={(key) => select(key, true)}
          />
        </div>
        <Panel
          {...{ feed, data, line, selected, moment }}
          onSelect={(key) => select(key, key !== undefined)}
        />
      </div>
    </div>
  );
}
