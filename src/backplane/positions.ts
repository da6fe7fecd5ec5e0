/** Places in a session's log, and in one of its streams. */

/** The standalone stream, that of the GET. It exists as long as its session does. Each other stream belongs to one POST. */
export const STANDALONE = 'g';

/**
 * A place in a session's log: `<milliseconds>-<counter>`, two whole numbers without leading zeros. Each entry has a higher one than
 * the entry before it. The milliseconds are those of the backplane's clock, or of the entry before if the clock is behind.
 */
export type LogId = string;

/** Compares two places in the order of the log: negative if `a` comes before `b`, 0 if they are the same. */
export function compareLogIds(a: LogId, b: LogId): number {
  if (a === b) return 0;
  return msOf(a) - msOf(b) || counterOf(a) - counterOf(b);
}

// Without lists: every commit compares two ids.
function msOf(logId: LogId): number {
  const dash = logId.indexOf('-');
  return Number(dash < 0 ? logId : logId.slice(0, dash));
}

function counterOf(logId: LogId): number {
  const dash = logId.indexOf('-');
  return dash < 0 ? 0 : Number(logId.slice(dash + 1));
}

const LAST_COUNTER = '18446744073709551615';

/** Returns a place between an entry and the one before it: what comes after that place begins with the entry. */
export function justBefore(logId: LogId): LogId {
  const [ms = 0, counter = 0] = logId.split('-').map(Number);
  if (ms === 0 && counter === 0) return LOG_START;
  return counter > 0 ? `${ms}-${counter - 1}` : `${ms - 1}-${LAST_COUNTER}`;
}

/** The place before the first entry of any log. */
export const LOG_START: LogId = '0-0';

/**
 * A place in one stream: the number of a message and its place in the log. Numbers count the messages of a stream from 1;
 * with 0 the place is before the first message.
 */
export interface Position {
  n: number;
  logId: LogId;
}
