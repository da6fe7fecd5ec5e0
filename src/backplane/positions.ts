/** Places in a session's log, and in one of its streams. */

/** The name of the standalone stream, which the GET follows. It exists as long as its session. Other streams belong to a POST. */
export const STANDALONE = 'g';

/**
 * A place in a session's log: `<milliseconds>-<counter>`, two whole numbers without leading zeros. Each entry has a higher log
 * id than the entry before it. The milliseconds are the time of the backplane's clock. If that clock is behind the entry
 * before, they are those of that entry.
 */
export type LogId = string;

/** Compares two places in the order of the log: negative if `a` comes before `b`, 0 if they are the same. */
export function compareLogIds(a: LogId, b: LogId): number {
  if (a === b) return 0;
  return msOf(a) - msOf(b) || counterOf(a) - counterOf(b);
}

// These functions make no lists, because every commit compares two log ids.
function msOf(logId: LogId): number {
  const dash = logId.indexOf('-');
  return Number(dash < 0 ? logId : logId.slice(0, dash));
}

function counterOf(logId: LogId): number {
  const dash = logId.indexOf('-');
  return dash < 0 ? 0 : Number(logId.slice(dash + 1));
}

const LAST_COUNTER = '18446744073709551615';

/** Returns the last place before an entry. A reader that begins after that place reads the entry first. */
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
