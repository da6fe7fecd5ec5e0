/** Reads Server-Sent Events, as the HTML standard defines them, from text that comes in pieces. */
import { costOf, LEAST_RETRY_MS, LONGEST_ID, MOST_RETRY_MS, oversized } from '../bounds.js';

export interface ServerSentEvent {
  /** The type of the event. `undefined` means `message`. */
  event: string | undefined;
  data: string;
}

/** The state of a stream that its client needs to resume it. */
export interface Place {
  /** The id of the last complete event. */
  lastEventId: string | undefined;
  /** How long the server wants its clients to wait before they come back. */
  retryMs: number | undefined;
}

const BYTE_ORDER_MARK = '\uFEFF';

/**
 * Reads the events of a stream. An event without data, or with an empty data field (specification 2025-11-25, transports),
 * only moves the place to resume from.
 */
export class EventStreamReader {
  private begun = false;
  /** True if the last piece ended with `\r`, which may be the first half of `\r\n`. */
  private returned = false;
  /** The beginning of a line that is not complete. A long line comes in many pieces, which are joined at its end. */
  private rest: string[] = [];
  private restCost = 0;
  /** The fields of the event that is not complete. */
  private data: string[] = [];
  private event: string | undefined;
  private id: string | undefined;
  private eventCost = 0;

  /** `hold` gets the memory that the reader keeps for an incomplete event, and may throw. */
  constructor(
    private readonly place: Place,
    private readonly onEvent: (event: ServerSentEvent) => void,
    private readonly hold: (bytes: number) => void = () => undefined,
  ) {}

  /**
   * Reads a piece of text. Throws what `onEvent` and `hold` throw, and a `Failure` for a field that is too long. After an
   * error, `feed` must not be called again.
   */
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

  /** Removes a byte order mark, and turns all line ends into line feeds. */
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
    // An empty id says that the stream cannot be resumed.
    if (id !== undefined) this.place.lastEventId = id === '' ? undefined : id;
    const text = data.join('\n');
    if (text !== '') this.onEvent({ event, data: text });
  }
}

function short(value: string, what: string): string {
  if (value.length <= LONGEST_ID) return value;
  throw oversized(`${what} of more than ${LONGEST_ID} characters`);
}
