import type { JoinOptions, Position } from '../backplane.js';
import { compareLogIds } from '../backplane.js';
import type { ReplayPage, Replays } from '../sdk-store-access.js';
import type { Step } from './memory-sdk-stores.js';

interface Event {
  stream: string;
  position: Position;
  message: string;
  at: number;
}

interface Session {
  events: Event[];
  ends: Map<string, Position & { at: number }>;
  last: number;
  /** The bytes of the events, as {@link sizeOf} counts them. */
  bytes: number;
}

/**
 * How many bytes an event counts besides its message, and how many bytes more than needed are trimmed at most. They are the
 * same as in the log of a session.
 */
const EVENT_BYTES = 100;
const SLACK_BYTES = 1024 * 1024;

/** The events of the SDK's transports on all nodes that share a memory backplane. */
export class MemoryEventStore {
  private readonly sessions = new Map<string, Session>();
  private count = 0;

  of({ retention }: JoinOptions, step: Step): Replays {
    return {
      append: (sessionId, stream, message) =>
        step((now) => {
          this.clear(now - retention.maxAgeMs);
          const session: Session = this.sessions.get(sessionId) ?? {
            events: [],
            ends: new Map(),
            ...{ last: 0, bytes: 0 },
          };
          this.sessions.set(sessionId, session);
          this.count += 1;
          const n = (session.ends.get(stream)?.n ?? 0) + 1;
          const position = { n, logId: `${now}-${this.count}` };
          session.events.push({ stream, position, message, at: now });
          session.bytes += sizeOf(message);
          session.ends.set(stream, { ...position, at: now });
          session.last = now;
          trim(session, retention);
          return position;
        }),
      read: (sessionId, stream, after, maxBytes) =>
        step((now) => {
          this.clear(now - retention.maxAgeMs);
          return this.read(sessionId, stream, after, maxBytes);
        }),
    };
  }

  private read(sessionId: string, stream: string, after: Position, maxBytes: number): ReplayPage {
    const session = this.sessions.get(sessionId);
    const end = session?.ends.get(stream);
    if (session === undefined || end === undefined) return { status: 'unknown' };
    const { n, logId } = after;
    if (n > end.n || (n === end.n && logId !== end.logId)) return { status: 'unknown' };
    if (n === end.n) return { status: 'ok', events: [], more: false };
    const known = session.events.find(({ position }) => position.logId === logId);
    const itself =
      known === undefined
        ? compareLogIds(logId, end.logId) < 0
        : known.stream === stream && known.position.n === n;
    if (!itself) return { status: 'unknown' };
    const following = session.events.filter(
      (event) => event.stream === stream && event.position.n > n,
    );
    if (following[0]?.position.n !== n + 1) return { status: 'trimmed' };
    const events: { position: Position; message: string }[] = [];
    let bytes = 0;
    for (const { position, message } of following) {
      events.push({ position, message });
      bytes += message.length;
      if (bytes >= maxBytes) break;
    }
    return { status: 'ok', events, more: events.length < following.length };
  }

  /** Removes all events that are older. */
  private clear(oldest: number): void {
    for (const [id, session] of this.sessions) {
      if (session.last < oldest) this.sessions.delete(id);
      while ((session.events[0]?.at ?? oldest) < oldest) dropFirst(session);
      for (const [stream, { at }] of session.ends) if (at < oldest) session.ends.delete(stream);
    }
  }
}

/** Removes the oldest events beyond the bounds. The newest event always stays. */
function trim(session: Session, { maxEvents, maxBytes = Infinity }: JoinOptions['retention']) {
  while (session.events.length > maxEvents) dropFirst(session);
  if (session.bytes <= maxBytes) return;
  const most = maxBytes - Math.min(maxBytes / 8, SLACK_BYTES);
  while (session.bytes > most && session.events.length > 1) dropFirst(session);
}

function dropFirst(session: Session): void {
  const event = session.events.shift();
  if (event !== undefined) session.bytes -= sizeOf(event.message);
}

function sizeOf(message: string): number {
  return EVENT_BYTES + Buffer.byteLength(message);
}
