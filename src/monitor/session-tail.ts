/** Reads the events of a session for a page that watches it, and tells the page when Redis cannot be read. */
import type { Observer } from '../operator/observer.js';
import { AnynodeError } from '../protocol/errors.js';
import type { EventSummary } from '../timeline/event-summary.js';
import type { Summarize } from './summarize.js';
import type { TailEvents } from './wire.js';

/** How many events are sent to the page at a time. */
const BATCH = 200;
const POLL_MS = 500;

export interface TailParts {
  sessions: Observer['sessions'];
  summarize: Summarize;
  /** The event after which the page reads on. Left out: it reads from the beginning of the log. */
  after: string | undefined;
  /** Aborts when the page is gone. */
  signal: AbortSignal;
  /** Resolves when the page can take more. */
  send: (tail: TailEvents) => Promise<void>;
}

/**
 * Sends the events of a session, and then new ones, until the session or the page is gone. While Redis is away it says so once, goes on
 * to look, and tells the page when Redis is back.
 */
export async function tailSession(id: string, parts: TailParts): Promise<void> {
  const { sessions, summarize, signal, send } = parts;
  let last = parts.after;
  let batch: EventSummary[] = [];
  let said: 'live' | 'away' | undefined;
  const flush = async (more: Omit<TailEvents, 'events'>): Promise<void> => {
    const events = batch;
    batch = [];
    await send({ events, ...more });
  };
  while (!signal.aborted) {
    try {
      for await (const event of sessions.events(id, {
        ...(last !== undefined && { after: last }),
        signal,
      })) {
        batch.push(summarize(id, event));
        last = event.id;
        if (batch.length >= BATCH) await flush({ live: said === 'live' });
      }
      const isThere = (await sessions.get(id)) !== undefined;
      if (!isThere) batch.push(endOf(batch.at(-1)?.at));
      if (batch.length > 0 || said !== 'live') await flush({ live: true });
      if (!isThere) return;
      said = 'live';
    } catch (error) {
      if (!(error instanceof AnynodeError) || error.code !== 'backplane_unavailable') throw error;
      // The events that were read before the error are sent now. The next look begins after them.
      if (said !== 'away') await flush({ live: false, trouble: 'Redis cannot be reached' });
      said = 'away';
    }
    await pause(signal);
  }
}

/** The end of a session is not in its log, which ends with the session. */
function endOf(lastAt = 0): EventSummary {
  const at = Math.max(Date.now(), lastAt);
  return { id: `${at}-0`, at, type: 'session.closed', kind: 'note' };
}

function pause(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, POLL_MS);
    timer.unref();
    signal.addEventListener('abort', done, { once: true });
    if (signal.aborted) done();
  });
}
