import { onOneLine } from '../protocol/json/json-text.js';
import type { SessionEvent } from '../options/public-types.js';

const FORMAT = 1;

/** Formats an event as a line of JSON Lines, with its newline. */
export function jsonLine(sessionId: string, event: SessionEvent): string {
  return `${onOneLine(JSON.stringify({ v: FORMAT, session: sessionId, ...event }))}\n`;
}
