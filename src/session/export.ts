import type { SessionEvent } from './types.js';

const FORMAT = 1;

/** An event as a line of JSON Lines, newline included. */
export function jsonLine(sessionId: string, event: SessionEvent): string {
  return `${JSON.stringify({ v: FORMAT, session: sessionId, ...event })}\n`;
}
