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

/** An event that is an id, perhaps with `retry`; where a piece begins in the middle of a line, also what only looks like one. */
const ID_ALONE = /(^|\n\r?\n)(id:.*\r?\n(?:retry:.*\r?\n)?)(?=\r?\n)/g;

/**
 * An event without data shows nothing, and is a place to go on from: with an empty field for it (specification 2025-11-25,
 * transports), or with none. One with none is no event to the parser, so it gets one; the empty line that this adds to the
 * data of what only looks like one is nothing to JSON.
 */
export class EventStreamReader {
  private readonly parser: EventSourceParser;
  private begun = false;

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
    // The parser knows it as bytes; here it is one character of decoded text.
    const marked = !this.begun && piece.startsWith(BYTE_ORDER_MARK);
    this.begun = true;
    const text = marked ? piece.slice(1) : piece;
    this.parser.feed(text.includes('id:') ? text.replace(ID_ALONE, '$1$2data:\n') : text);
  }
}
