import { onOneLine } from '../protocol/json-text.js';
import type { SessionEvent } from '../options/types.js';

const FORMAT = 1;

/** An event as a line of JSON Lines, newline included. */
export function jsonLine(sessionId: string, event: SessionEvent): string {
  return `${onOneLine(JSON.stringify({ v: FORMAT, session: sessionId, ...event }))}\n`;
}
