import type { LogEntry, LogId } from '../backplane.js';
import { compareLogIds } from '../backplane.js';
import type { Client } from './connection.js';
import type { Names } from './names.js';
import { logEntry } from './replies.js';

/** An entry's log id, and its fields and values. */
export type LogRow = [LogId, string[]];

/** What is left of a session's log after `after`. */
export async function readLog(
  client: Client,
  names: Names,
  sessionId: string,
  after: LogId,
  count: number,
): Promise<LogEntry[]> {
  const first = await readFirst(client, names, sessionId);
  const entries =
    first === undefined
      ? await client.xrange(names.events(sessionId), `(${after}`, '+', 'COUNT', count)
      : entriesAfter(first, after, count);
  return entries.map(([logId, flat]) => logEntry(logId, flat));
}

/** All entries of a log that is still a string; see `scripts/first.lua`. `undefined`: it is a stream. */
export async function readFirst(
  client: Client,
  names: Names,
  sessionId: string,
): Promise<LogRow[] | undefined> {
  if ((await client.hget(names.streams(sessionId), 'first')) === null) return undefined;
  try {
    return firstEntries(await client.getBuffer(names.events(sessionId)));
  } catch (error) {
    // It has become one in between.
    if (error instanceof Error && error.message.startsWith('WRONGTYPE')) return undefined;
    throw error;
  }
}

/** Of each entry a line of words, and the message whose length they end with. */
function firstEntries(bytes: Buffer | null): LogRow[] {
  const entries: LogRow[] = [];
  for (let at = 0; bytes !== null && at < bytes.length;) {
    const end = bytes.indexOf('\n', at);
    const [logId = '', ...fields] = bytes.toString('utf8', at, end).split(' ');
    at = end + 1;
    if (fields.at(-2) === 'm') {
      const messageAt = at;
      at += Number(fields.pop());
      fields.push(bytes.toString('utf8', messageAt, at));
    }
    entries.push([logId, fields]);
  }
  return entries;
}

function entriesAfter(entries: LogRow[], after: LogId, count: number): LogRow[] {
  return entries.filter(([logId]) => compareLogIds(logId, after) > 0).slice(0, count);
}
