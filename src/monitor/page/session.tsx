import { useEffect, useMemo, useState } from 'preact/hooks';
import { evenScale, linearScale } from '../../timeline/scale.js';
import { EventList } from './event-list.js';
import type { Feed } from './feed.js';
import { clock, count } from './format.js';
import { Lanes } from './lanes.js';
import { Overview } from './overview.js';
import { Panel } from './panel.js';
import { SessionHead } from './session-head.js';
import { TroubleBanner } from './trouble.js';
import { usePicture, useSession } from './use-session.js';

/** A session with no more events is shown as a whole at first. */
const FITS = 150;

export function SessionPage({ feed, prefix }: { feed: Feed; prefix: string }) {
  const data = useSession(feed, prefix);
  const offline = feed.offline !== undefined;
  const { line, placed } = usePicture(data, offline);
  const [zoom, setZoom] = useState(1);
  const [even, setEven] = useState(true);
  const [follow, setFollow] = useState(true);
  const [selected, setSelected] = useState<string>();
  const [cursor, setCursor] = useState<number>();
  const [view, setView] = useState({ left: 0, width: 0 });
  const [goTo, setGoTo] = useState<{ at: number }>();
  const { events } = data;
  const scale = useMemo(() => {
    const moments = [...events.map(({ at }) => at), line.to];
    return even ? evenScale(moments, zoom) : linearScale(moments, zoom, Math.max(600, view.width));
  }, [events, line.to, zoom, even, even ? 0 : view.width]);
  const fit = (): void => {
    const { width } = evenScale(
      events.map((event) => event.at),
      1,
    );
    setEven(true);
    setZoom(Math.min(2, Math.max(0.05, (view.width - 10) / width)));
  };
  const isLive = data.live && !data.ended && !offline && data.trouble === undefined;
  // A short session is shown as a whole at first.
  const isRead = data.live && view.width > 0;
  useEffect(() => {
    if (isRead && events.length <= FITS) fit();
  }, [isRead]);
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
        There is no session whose id begins with “{prefix}”. It may have ended.
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
            <button
              type="button"
              aria-pressed={follow}
              disabled={offline}
              onClick={() => setFollow(!follow)}
              title="Keep the newest events in view"
            >
              <span class={`live ${isLive ? 'on' : ''}`} aria-hidden="true" />{' '}
              {data.ended
                ? 'ended'
                : offline
                  ? 'file'
                  : data.trouble === undefined
                    ? 'Live'
                    : 'Interrupted'}
            </button>
            <span class="group">
              <button
                type="button"
                onClick={() => setZoom(Math.max(0.05, zoom / 1.5))}
                aria-label="Zoom out"
              >
                −
              </button>
              <output aria-label="Zoom">{Math.round(zoom * 100)} %</output>
              <button
                type="button"
                onClick={() => setZoom(Math.min(20, zoom * 1.5))}
                aria-label="Zoom in"
              >
                +
              </button>
              <button type="button" onClick={fit} title="Show the whole session">
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
            <Legend />
          </div>
          <Lanes
            {...{ line, placed, scale, selected, follow, goTo }}
            cursor={at}
            onSelect={select}
            onView={setView}
            onFollow={setFollow}
            onZoom={(factor) => setZoom((before) => Math.min(20, Math.max(0.05, before * factor)))}
          />
          <Overview
            {...{ line, scale, view }}
            cursor={at}
            onMove={(to) => {
              setFollow(false);
              setGoTo({ at: to });
            }}
          />
          <div class="scrubber">
            <label>
              <span>Moment</span>
              <input
                type="range"
                aria-label="Moment"
                min={0}
                max={events.length - 1}
                value={cursor ?? events.length - 1}
                aria-valuetext={
                  at === undefined
                    ? 'now'
                    : `${clock(at)}, after event ${(cursor ?? 0) + 1} of ${events.length}`
                }
                onInput={(event) => {
                  const index = Number(event.currentTarget.value);
                  const isEnd = index >= events.length - 1;
                  setCursor(isEnd ? undefined : index);
                  const moment = events[index]?.at;
                  if (!isEnd) setFollow(false);
                  if (moment !== undefined) setGoTo({ at: moment });
                }}
              />
            </label>
            <output>{at === undefined ? 'now' : clock(at)}</output>
            <button
              type="button"
              disabled={cursor === undefined}
              onClick={() => setCursor(undefined)}
            >
              To now
            </button>
          </div>
          <EventList
            events={events}
            selected={selected}
            cursor={cursor}
            follow={follow}
            onSelect={(key) => select(key, true)}
          />
        </div>
        <Panel {...{ feed, data, line, selected, cursor }} onSelect={(key) => select(key, true)} />
      </div>
    </div>
  );
}

const OUTCOMES = [
  ['ok', 'ok'],
  ['tool_error', 'tool failed'],
  ['error', 'error'],
  ['lost', 'lost with its node'],
  ['cancelled', 'cancelled'],
  ['pending', 'pending'],
];

function Legend() {
  return (
    <ul class="legend" aria-label="Colours">
      {OUTCOMES.map(([outcome, name]) => (
        <li key={outcome}>
          <span class={`swatch ${outcome}`} aria-hidden="true" />
          {name}
        </li>
      ))}
    </ul>
  );
}
