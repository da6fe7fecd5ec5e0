/** Places in a session's log, and in one of its streams. */

/** The stream of the GET connection: exists as long as its session does. All others belong to one POST. */
export const STANDALONE = 'g';

/** A place in a session's log: `<milliseconds>-<counter>`, growing. */
export type LogId = string;

/** In the order of the log: negative where `a` comes before `b`. */
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

/** A place in the log between an entry and the one before it: what comes after it begins with that entry. */
export function justBefore(logId: LogId): LogId {
  const [ms = 0, counter = 0] = logId.split('-').map(Number);
  if (ms === 0 && counter === 0) return LOG_START;
  return counter > 0 ? `${ms}-${counter - 1}` : `${ms - 1}-${LAST_COUNTER}`;
}

/** Before the first entry of any log. */
export const LOG_START: LogId = '0-0';

/** How far a follower is in one stream: the number of the last message (0: none yet) and its place in the log. */
export interface Position {
  n: number;
  logId: LogId;
}
