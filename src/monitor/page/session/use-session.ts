import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import type { EventSummary } from '../../../timeline/event-summary.js';
import type { Timeline } from '../../../timeline/picture.js';
import { timeline } from '../../../timeline/timeline.js';
import type { SessionView } from '../../wire.js';
import type { Condition, Feed } from '../feed.js';
import { nextTrouble, type Trouble } from '../trouble.js';

/** The page keeps so many of the last events of a session. */
const MOST_EVENTS = 50_000;
const FACTS_EVERY_MS = 3000;
const AGAIN_MS = 1500;

export interface SessionData {
  id: string | undefined;
  events: EventSummary[];
  facts: SessionView | undefined;
  live: boolean;
  ended: boolean;
  dropped: number;
  trouble: Trouble | undefined;
  missing: boolean;
}

/** Finds the session whose id begins with `prefix`, and follows it. */
export function useSession(feed: Feed, prefix: string): SessionData {
  const [data, setData] = useState<SessionData>(() => ({
    ...{ id: undefined, events: [], facts: undefined, live: false, ended: false, dropped: 0 },
    ...{ trouble: undefined, missing: false },
  }));
  useEffect(() => {
    let stopped = false;
    const stops: (() => void)[] = [() => (stopped = true)];
    const change = (more: Partial<SessionData>): void => {
      if (!stopped) setData((before) => ({ ...before, ...more }));
    };
    const complain = (text: string | undefined): void => {
      if (stopped) return;
      setData((before) =>
        before.trouble?.text === text
          ? before
          : { ...before, trouble: nextTrouble(before.trouble, text) },
      );
    };
    const begin = async (): Promise<void> => {
      const id = await idOf(feed, prefix);
      if (stopped) return;
      complain(undefined);
      if (id === undefined) {
        change({ missing: true });
        return;
      }
      change({ id });
      let events: EventSummary[] = [];
      let dropped = 0;
      let live = false;
      // Many events that come at once are shown at once.
      let timer: ReturnType<typeof setTimeout> | undefined;
      const show = (): void => {
        timer = undefined;
        const ended = events.at(-1)?.type === 'session.closed';
        // Its server does not know the session any more.
        if (ended) for (const stop of stops.splice(1)) stop();
        change({ events: events.slice(), live, dropped, ended });
      };
      const onCondition = (condition: Condition): void => {
        // Nothing follows the end of a session, so there is nothing to connect to.
        if (events.at(-1)?.type === 'session.closed') return;
        complain(condition === 'open' ? undefined : condition.trouble);
      };
      stops.push(
        feed.tail(
          id,
          (tail) => {
            complain(tail.trouble);
            events.push(...tail.events);
            live = tail.live;
            if (events.length > MOST_EVENTS) {
              dropped += events.length - MOST_EVENTS;
              events = events.slice(-MOST_EVENTS);
            }
            timer ??= setTimeout(show, events.length > 5000 ? 400 : 60);
          },
          onCondition,
        ),
        () => clearTimeout(timer),
      );
      const look = async (): Promise<void> => {
        try {
          const facts = await feed.session(id);
          if (facts !== undefined) change({ facts });
        } catch {
          // The event stream says what is wrong.
        }
      };
      void look();
      const every = setInterval(() => void look(), FACTS_EVERY_MS);
      stops.push(() => clearInterval(every));
    };
    const beginAgain = (): void => {
      begin().catch((error: unknown) => {
        complain(error instanceof Error ? error.message : String(error));
        const again = setTimeout(beginAgain, AGAIN_MS);
        stops.push(() => clearTimeout(again));
      });
    };
    beginAgain();
    return () => {
      for (const stop of stops) stop();
    };
  }, [feed, prefix]);
  return data;
}

async function idOf(feed: Feed, prefix: string): Promise<string | undefined> {
  if (feed.offline !== undefined) return prefix;
  const { sessions } = await feed.sessions({ idPrefix: prefix, limit: 2 });
  if (sessions.length > 1) throw new Error('Several sessions have an id that begins so');
  return sessions[0]?.info.id;
}

/** Computes the timeline of the events. Requests that run are drawn up to now. */
export function useTimeline(
  { events, ended, live, trouble, facts }: SessionData,
  offline: boolean,
): Timeline {
  const now = useNow(live && !ended && !offline && trouble === undefined);
  const first = useRef<{ local: number; remote: number } | undefined>(undefined);
  const last = events.at(-1)?.at;
  // The clock of this machine may differ from that of Redis. What passes since the last event does not.
  if (last !== undefined && first.current?.remote !== last)
    first.current = { local: Date.now(), remote: last };
  const until =
    first.current === undefined ? now : first.current.remote + (now - first.current.local);
  const { deadNodes, requests: running } = facts ?? {};
  const known = JSON.stringify([deadNodes, running]);
  const base = useMemo(() => timeline(events, { deadNodes, running }), [events, known]);
  const isPending = base.bars.some((bar) => bar.end === undefined);
  const end = isPending && !ended && !offline ? until : undefined;
  const line = useMemo(
    () => (end === undefined ? base : timeline(events, { now: end, deadNodes, running })),
    [base, end],
  );
  return line;
}

function useNow(running: boolean): number {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    if (!running) return;
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, [running]);
  return now;
}
