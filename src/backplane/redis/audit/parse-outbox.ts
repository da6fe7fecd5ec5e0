/** Parses what the scripts in `../scripts/audit` return. It comes from Redis, so it may be anything. */
import type { OutboxCheckpoint, OutboxEntry } from '../../roles/audit-outboxes.js';
import { logEntry } from '../commands/parse-replies.js';

/** The place of an entry in an outbox. */
const PLACE = /^(?=.{3,40}$)\d+-\d+$/;
/** A log id of at most 32 characters. Longer numbers cannot be told apart. */
const LOG_ID = /^(?=.{3,32}$)\d{1,15}-\d+$/;
const SESSION_ID = /^[\x21-\x7e]{1,256}$/;
/** The most words of an entry, which has only a few fields. */
const MOST_WORDS = 64;
const ENDS = ['deleted', 'removed', 'expired'] as const;

/** The session of an entry that does not say whose it is. */
const UNKNOWN_SESSION = '-';

/**
 * Parses an entry of an outbox. If no script of this library has written it, `isSound` is false, and the entry is a gap of one
 * entry. So the archiver passes over it, and the trail shows that something is missing.
 */
export function parseOutboxEntry(row: unknown): { entry: OutboxEntry; isSound: boolean } {
  const [place, flat] = row as [string, string[]];
  const fields = new Map<string, string>();
  for (let at = 0; at + 1 < flat.length; at += 2) fields.set(flat[at] ?? '', flat[at + 1] ?? '');
  const [ended, gap, from] = [fields.get('end'), wholeOf('gap'), wholeOf('from')];
  const [logId, sessionId] = [fields.get('i') ?? place, fields.get('u')];
  const knowsSession = sessionId !== undefined && SESSION_ID.test(sessionId);
  const id = formatPlace({ place, logId: fields.get('i') ?? '', sessionId: sessionId ?? '' });
  const isSound =
    knowsSession &&
    flat.length <= MOST_WORDS &&
    LOG_ID.test(logId) &&
    (fields.has('i') || gap !== undefined || ended !== undefined) &&
    (ended === undefined || isEnd(ended)) &&
    (gap === undefined) === (from === undefined);
  const rest = { id, sessionId: knowsSession ? sessionId : UNKNOWN_SESSION };
  if (!isSound) {
    const missing = { entries: 1, from: Number(place.split('-')[0]) };
    return { entry: { ...rest, entry: logEntry(place, []), gap: missing }, isSound };
  }
  const [principal, seal] = [fields.get('pr'), fields.get('seal')];
  const initialize = fields.get('init');
  const entry: OutboxEntry = {
    ...rest,
    entry: logEntry(logId, flat),
    ...(principal !== undefined && { created: { principal, ...(seal !== undefined && { seal }) } }),
    ...(initialize !== undefined && { initialize }),
    ...(isEnd(ended) && { ended }),
    ...(gap !== undefined && from !== undefined && { gap: { entries: gap, from } }),
  };
  return { entry, isSound };

  function wholeOf(name: string): number | undefined {
    const text = fields.get(name);
    return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
  }
}

function isEnd(text: string | undefined): text is (typeof ENDS)[number] {
  return ENDS.some((end) => end === text);
}

/** Parses the reply of claim-outbox.lua. */
export function parseCheckpoint(reply: unknown): OutboxCheckpoint {
  const [mark = '', ordinal = ''] = reply as string[];
  return { mark, ordinal: /^\d{1,15}$/.test(ordinal) ? Number(ordinal) : 0 };
}

/**
 * The place of an entry, with what tells it from another entry that got the same place after a failover: its log id and its
 * session.
 */
export interface Place {
  place: string;
  logId: string;
  sessionId: string;
}

export function formatPlace({ place, logId, sessionId }: Place): string {
  return `${place} ${logId} ${sessionId}`;
}

/** Parses what {@link formatPlace} returns. Throws a `TypeError` for another text. */
export function parsePlace(id: string): Place {
  const [place = '', logId = '', ...more] = id.split(' ');
  if (!PLACE.test(place)) throw new TypeError(`This is no place in an outbox: ${id.slice(0, 100)}`);
  return { place, logId, sessionId: more.join(' ') };
}
