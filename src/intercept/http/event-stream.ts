/** Reads Server-Sent Events, as the HTML standard has them, from text that comes in pieces. */
import { costOf, LEAST_RETRY_MS, LONGEST_ID, MOST_RETRY_MS, oversized } from '../bounds.js';

export interface ServerSentEvent {
  /** Left out: `message`. */
  event: string | undefined;
  data: string;
}

/** What a stream says of itself, as far as it has said it. */
export interface Place {
  /** Of the last event that has come in whole. */
  lastEventId: string | undefined;
  /** How long the server wants its clients to wait before they come back. */
  retryMs: number | undefined;
}

const BYTE_ORDER_MARK = '\uFEFF';

/**
 * An event without data shows nothing, and is a place to go on from: with an empty field for it (specification 2025-11-25,
 * transports), or with none.
 */
export class EventStreamReader {
  private begun = false;
  /** A line has ended with what may be the first half of its end. */
  private returned = false;
  /** The beginning of a line whose end has not come. A long one comes in many pieces, which are joined when it ends. */
  private rest: string[] = [];
  private restCost = 0;
  /** Of the event whose end has not come. */
  private data: string[] = [];
  private event: string | undefined;
  private id: string | undefined;
  private eventCost = 0;

  /** `hold` is told what the reader keeps in memory of an event that is not whole yet, and may throw. */
  constructor(
    private readonly place: Place,
    private readonly onEvent: (event: ServerSentEvent) => void,
    private readonly hold: (bytes: number) => void = () => undefined,
  ) {}

  /** Throws what `onEvent` and `hold` throw, and a `Failure` for a field that is too long; no more may be fed then. */
  feed(piece: string): void {
    if (piece === '') return;
    const text = this.withLineFeeds(piece);
    let begin = 0;
    for (let end = text.indexOf('\n'); end !== -1; end = text.indexOf('\n', begin)) {
      this.endLine(text.slice(begin, end));
      begin = end + 1;
    }
    if (begin < text.length) {
      const beginning = text.slice(begin);
      this.rest.push(beginning);
      this.restCost += costOf(beginning);
    }
    this.hold(this.restCost + this.eventCost);
  }

  /** Without a byte order mark, and with one kind of end for all lines. */
  private withLineFeeds(piece: string): string {
    let text = !this.begun && piece.startsWith(BYTE_ORDER_MARK) ? piece.slice(1) : piece;
    this.begun = true;
    if (this.returned && text.startsWith('\n')) text = text.slice(1);
    this.returned = piece.endsWith('\r');
    return text.includes('\r') ? text.replace(/\r\n?/g, '\n') : text;
  }

  private endLine(end: string): void {
    if (this.rest.length === 0) {
      this.take(end);
      return;
    }
    const line = this.rest.join('') + end;
    this.rest = [];
    this.restCost = 0;
    this.take(line);
  }

  private take(line: string): void {
    if (line === '') {
      this.dispatch();
      return;
    }
    const colon = line.indexOf(':');
    const name = colon === -1 ? line : line.slice(0, colon);
    const value = colon === -1 ? '' : line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1);
    if (name === 'data') {
      this.data.push(value);
      this.eventCost += costOf(value);
    } else if (name === 'event') {
      this.event = value === '' ? undefined : short(value, 'the name of an event');
    } else if (name === 'id') {
      if (!value.includes('\0')) this.id = short(value, 'an event id');
    } else if (name === 'retry' && /^\d+$/.test(value)) {
      this.place.retryMs = Math.min(Math.max(Number(value), LEAST_RETRY_MS), MOST_RETRY_MS);
    }
  }

  private dispatch(): void {
    const { data, event, id } = this;
    this.data = [];
    this.event = undefined;
    this.id = undefined;
    this.eventCost = 0;
    // An empty one says that there is nothing to come back with.
    if (id !== undefined) this.place.lastEventId = id === '' ? undefined : id;
    const text = data.join('\n');
    if (text !== '') this.onEvent({ event, data: text });
  }
}

function short(value: string, what: string): string {
  if (value.length <= LONGEST_ID) return value;
  throw oversized(`${what} of more than ${LONGEST_ID} characters`);
}
