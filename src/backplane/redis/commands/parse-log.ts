import type { LogEntry, LogId } from '../../backplane.js';
import { compareLogIds, LOG_START } from '../../backplane.js';
import type { Client } from '../connection/redis-connection.js';
import type { RedisKeys } from '../redis-keys.js';
import { logEntry } from './parse-replies.js';

/** A log id of at most 32 characters. Longer numbers cannot be told apart. */
const LOG_ID = /^(?=.{3,32}$)\d+-\d+$/;
/** The most words of an entry, which has only a few fields. */
const MOST_WORDS = 32;

/** An entry's log id, and its fields and values. */
export type LogRow = [LogId, string[]];

/** Reads a session's log after `after`. */
export async function readLog(
  client: Client,
  redisKeys: RedisKeys,
  sessionId: string,
  after: LogId,
  count: number,
): Promise<LogEntry[]> {
  const first = await readFirst(client, redisKeys, sessionId);
  const entries =
    first === undefined
      ? await client.xrange(redisKeys.events(sessionId), `(${after}`, '+', 'COUNT', count)
      : entriesAfter(first, after, count);
  return entries.map(([logId, flat]) => logEntry(logId, flat));
}

/** Reads the last `count` entries of a session's log before `before`. They are in the order of the log. */
export async function readLogBefore(
  client: Client,
  names: RedisKeys,
  sessionId: string,
  before: LogId,
  count: number,
): Promise<LogEntry[]> {
  const first = await readFirst(client, names, sessionId);
  const entries =
    first === undefined
      ? (
          await client.xrevrange(names.events(sessionId), `(${before}`, '-', 'COUNT', count)
        ).reverse()
      : first.filter(([logId]) => compareLogIds(logId, before) < 0).slice(-count);
  return entries.map(([logId, flat]) => logEntry(logId, flat));
}

/**
 * Reads all entries of a log that is still a string. See `scripts/includes/young-log.lua`. `undefined`: the log is a stream.
 */
export async function readFirst(
  client: Client,
  redisKeys: RedisKeys,
  sessionId: string,
): Promise<LogRow[] | undefined> {
  const key = redisKeys.streams(sessionId);
  if ((await client.hget(key, 'first')) === null) return undefined;
  const young = await client.hgetBuffer(key, 'young');
  try {
    return firstEntries(young ?? (await client.getBuffer(redisKeys.events(sessionId))));
  } catch (error) {
    // The log has become a stream meanwhile.
    if (error instanceof Error && error.message.startsWith('WRONGTYPE')) return undefined;
    throw error;
  }
}

/**
 * Parses a log string like the function of the same name in `scripts/includes/young-log.lua`. The log ends before the first
 * entry that this library would not have written.
 */
function firstEntries(bytes: Buffer | null): LogRow[] {
  const entries: LogRow[] = [];
  let newest = LOG_START;
  for (let at = 0; bytes !== null && at < bytes.length;) {
    const end = bytes.indexOf('\n', at);
    if (end < 0) break;
    const [logId = '', ...fields] = bytes.toString('utf8', at, end).split(' ');
    at = end + 1;
    if (!LOG_ID.test(logId) || compareLogIds(logId, newest) <= 0) break;
    if (fields.length === 0 || fields.length > MOST_WORDS || fields.length % 2 === 1) break;
    if (fields.at(-2) === 'm') {
      const length = /^\d+$/.test(fields.at(-1) ?? '') ? Number(fields.pop()) : NaN;
      if (!(at + length <= bytes.length)) break;
      fields.push(bytes.toString('utf8', at, at + length));
      at += length;
    }
    newest = logId;
    entries.push([logId, fields]);
  }
  return entries;
}

function entriesAfter(entries: LogRow[], after: LogId, count: number): LogRow[] {
  return entries.filter(([logId]) => compareLogIds(logId, after) > 0).slice(0, count);
}
