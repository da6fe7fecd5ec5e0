/** The log of a session as rows of text: its events, and when connections were made and cut, which no event says by itself. */
import type { EventSummary } from './event-summary.js';
import { sayMark } from './mermaid.js';
import type { Mark, Timeline } from './picture.js';
import { sayEvent } from './say-event.js';

export interface LogRow {
  /** Differs from that of all other rows. */
  key: string;
  at: number;
  /** The event that the row is. Of a row about a connection: the event beside which it stands. */
  event: EventSummary;
  /** The place of `event` among the events. */
  place: number;
  /** Whether the row is the event itself, or says of a connection what had happened before or after it. */
  is: 'before' | 'event' | 'after';
  node: string | undefined;
  text: string;
}

const GET_STREAM = 'g';
const ORDER = { before: 0, event: 1, after: 2 };

/** Returns the rows in the order of the events. `line` is the timeline of the events. */
export function logRows(
  events: EventSummary[],
  { stretches, marks }: Pick<Timeline, 'stretches' | 'marks'>,
): LogRow[] {
  const rows: LogRow[] = events.map((event, place) => ({
    ...{ key: `${event.id} ${event.type}`, at: event.at, event, place, is: 'event' },
    ...{ node: event.nodeId, text: sayEvent(event) },
  }));
  const add = (is: 'before' | 'after', at: number, node: string | undefined, text: string) => {
    const place =
      is === 'before'
        ? events.findIndex((event) => event.at >= at)
        : events.findLastIndex((event) => event.at <= at);
    const event = events[place];
    if (event === undefined) return;
    rows.push({ key: `connection ${rows.length}`, at, event, place, is, node, text });
  };
  const resumes = new Set(
    events.flatMap(({ type, stream, at }) =>
      type === 'stream.resumed' && stream === GET_STREAM ? at : [],
    ),
  );
  for (const { stream, node, from, to } of stretches) {
    if (stream !== GET_STREAM) continue;
    // The event of a resume says by itself that there is a connection.
    if (!resumes.has(from)) add('before', from, node, 'connection open: GET stream');
    if (to !== undefined) add('after', to, node, 'connection gone: GET stream');
  }
  for (const mark of marks.filter(isAboutCall)) {
    add(mark.kind === 'cut' ? 'after' : 'before', mark.at, mark.node, sayMark(mark));
  }
  return rows.sort((a, b) => a.place - b.place || ORDER[a.is] - ORDER[b.is]);
}

/** The connection of a call begins with the call and ends with its answer. Only what differs from that has a row. */
function isAboutCall({ kind, stream }: Mark): boolean {
  return (kind === 'cut' || kind === 'moved') && stream !== GET_STREAM;
}
