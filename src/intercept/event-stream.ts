/** Reads Server-Sent Events, as the HTML standard has them, from text that comes in pieces. */

export interface ServerSentEvent {
  /** Left out: `message`. */
  event: string | undefined;
  /** Empty: the event has only an id. */
  data: string;
}

/** What a stream says of itself, as far as it has said it. */
export interface Place {
  /** Of the last event that has come in whole. */
  lastEventId: string | undefined;
  /** How long the server wants its clients to wait before they come back. */
  retryMs: number | undefined;
}

/** A server that lets its clients come back at once, and ends their streams at once, is not asked without end. */
const LEAST_RETRY_MS = 100;

const CARRIAGE_RETURN = 13;
const BYTE_ORDER_MARK = 0xfeff;

/**
 * An event that has an id and no data counts: it is where its stream goes on. A line may be as long as a message; it is put
 * together once, however many pieces it comes in.
 */
export class EventStreamReader {
  /** The line that has not ended. */
  private rest = '';
  private begun = false;
  /** The last piece ended with a carriage return: a line feed that follows belongs to it. */
  private afterReturn = false;
  private data: string | undefined;
  private event: string | undefined;
  private id: string | undefined;

  constructor(
    private readonly place: Place,
    private readonly onEvent: (event: ServerSentEvent) => void,
  ) {}

  feed(piece: string): void {
    let from = 0;
    if (!this.begun && piece.length > 0) {
      this.begun = true;
      if (piece.charCodeAt(0) === BYTE_ORDER_MARK) from = 1;
    }
    if (this.afterReturn && piece.length > 0) {
      this.afterReturn = false;
      if (piece.startsWith('\n')) from = 1;
    }
    let feed = piece.indexOf('\n', from);
    let back = piece.indexOf('\r', from);
    for (;;) {
      const end = feed === -1 || (back !== -1 && back < feed) ? back : feed;
      if (end === -1) break;
      const line = piece.slice(from, end);
      this.take(this.rest === '' ? line : this.rest + line);
      this.rest = '';
      from = end + 1;
      if (piece.charCodeAt(end) === CARRIAGE_RETURN) {
        if (from === feed) from += 1;
        else this.afterReturn = from === piece.length;
        back = piece.indexOf('\r', from);
      }
      if (feed !== -1 && feed < from) feed = piece.indexOf('\n', from);
    }
    if (from < piece.length) this.rest += piece.slice(from);
  }

  private take(line: string): void {
    if (line === '') {
      this.dispatch();
      return;
    }
    const colon = line.indexOf(':');
    if (colon === 0) return; // a comment
    const name = colon === -1 ? line : line.slice(0, colon);
    let value = colon === -1 ? '' : line.slice(colon + 1);
    if (value.startsWith(' ')) value = value.slice(1);
    if (name === 'data') this.data = this.data === undefined ? value : `${this.data}\n${value}`;
    else if (name === 'event') this.event = value;
    else if (name === 'id' && !value.includes('\0')) this.id = value;
    else if (name === 'retry' && /^\d+$/.test(value)) {
      this.place.retryMs = Math.max(Number(value), LEAST_RETRY_MS);
    }
  }

  private dispatch(): void {
    const { data = '', event, id } = this;
    this.data = this.event = this.id = undefined;
    // An empty one says that there is nothing to come back with.
    if (id !== undefined) this.place.lastEventId = id === '' ? undefined : id;
    if (data !== '') this.onEvent({ event: event === '' ? undefined : event, data });
  }
}
