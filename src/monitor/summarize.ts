import type { Redact } from '../options/public-types.js';
import type { SessionEvent } from '../options/public-types.js';
import type { EventSummary } from '../timeline/event-summary.js';
import { summaryOf } from '../timeline/event-summary.js';

export type Summarize = (sessionId: string, event: SessionEvent) => EventSummary;

/** Returns how events are shown: after `redact`, and without the message unless `payloads` is set. */
export function summarizer(payloads: boolean, redact: Redact | undefined): Summarize {
  return (sessionId, event) =>
    summaryOf(redacted(sessionId, event, redact), { messages: payloads });
}

/** Returns the event with what `redact` leaves of its message. */
export function redacted(
  sessionId: string,
  event: SessionEvent,
  redact: Redact | undefined,
): SessionEvent {
  const { message, direction, id, at, type, stream } = event;
  if (redact === undefined || message === undefined || direction === undefined) return event;
  return { ...event, message: redact(message, { sessionId, id, at, type, direction, stream }) };
}
