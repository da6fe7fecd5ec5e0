/** Reads Server-Sent Events, as the HTML standard has them, from text that comes in pieces. */
import { createParser } from 'eventsource-parser';
import type { EventSourceParser } from 'eventsource-parser';

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

/** A server that lets its clients come back at once, and ends their streams at once, is not asked without end. */
const LEAST_RETRY_MS = 100;

const BYTE_ORDER_MARK = '\uFEFF';

/**
 * An event without data shows nothing, and is a place to go on from: with an empty field for it (specification 2025-11-25,
 * transports), or with none. One with none is no event to the parser, so it gets one before the parser sees it, line by line.
 */
export class EventStreamReader {
  private readonly parser: EventSourceParser;
  private begun = false;
  /** The beginning of a line whose end has not come. */
  private rest = '';
  /** A line has ended with what may be the first half of its end. */
  private returned = false;
  private hasId = false;
  private hasData = false;

  constructor(place: Place, onEvent: (event: ServerSentEvent) => void) {
    this.parser = createParser({
      onEvent: ({ id, event, data }) => {
        // An empty one says that there is nothing to come back with.
        if (id !== undefined) place.lastEventId = id === '' ? undefined : id;
        if (data !== '') onEvent({ event, data });
      },
      onRetry: (ms) => {
        place.retryMs = Math.max(ms, LEAST_RETRY_MS);
      },
    });
  }

  feed(piece: string): void {
    if (piece === '') return;
    const lines = this.lines(piece);
    // A long line comes in many pieces: it is put together once, when it ends.
    const end = lines.lastIndexOf('\n') + 1;
    const whole = end === 0 ? '' : this.rest + lines.slice(0, end);
    this.rest = end === 0 ? this.rest + lines : lines.slice(end);
    if (whole !== '') this.parser.feed(this.complete(whole));
  }

  /** Without a byte order mark, and with one kind of end for all lines. */
  private lines(piece: string): string {
    // The parser knows the mark as bytes; here it is one character of decoded text.
    let text = !this.begun && piece.startsWith(BYTE_ORDER_MARK) ? piece.slice(1) : piece;
    this.begun = true;
    if (this.returned && text.startsWith('\n')) text = text.slice(1);
    this.returned = piece.endsWith('\r');
    return text.includes('\r') ? text.replace(/\r\n?/g, '\n') : text;
  }

  private complete(lines: string): string {
    let completed = '';
    let from = 0;
    for (let begin = 0; begin < lines.length; begin = lines.indexOf('\n', begin) + 1) {
      if (lines[begin] === '\n') {
        if (this.hasId && !this.hasData) {
          completed += `${lines.slice(from, begin)}data:\n`;
          from = begin;
        }
        this.hasId = this.hasData = false;
      } else {
        this.hasId ||= isField(lines, begin, 'id');
        this.hasData ||= isField(lines, begin, 'data');
      }
    }
    return completed + lines.slice(from);
  }
}

/** Whether the line that begins there is this field; it may have no value. */
function isField(lines: string, begin: number, name: string): boolean {
  const after = lines[begin + name.length];
  return (after === ':' || after === '\n') && lines.startsWith(name, begin);
}
