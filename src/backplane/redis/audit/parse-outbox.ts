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

/** The place of an entry, and its fields and values. */
export type OutboxRow = [string, string[]];

/** The session of an entry that does not say whose it is. */
const UNKNOWN_SESSION = '-';

/**
 * Parses an entry of an outbox. If no script of this library has written it, `isSound` is false, and the entry is a gap of one
 * entry. So the archiver passes over it, and the trail shows that something is missing.
 */
export function parseOutboxEntry([place, flat]: OutboxRow): {
  entry: OutboxEntry;
  isSound: boolean;
} {
  const fields = new Map<string, string>();
  for (let at = 0; at + 1 < flat.length; at += 2) fields.set(flat[at] ?? '', flat[at + 1] ?? '');
  const [ended, gap, from] = [fields.get('end'), wholeOf('gap'), wholeOf('from')];
  const [logId, sessionId] = [fields.get('i') ?? place, fields.get('u')];
  const knowsSession = sessionId !== undefined && SESSION_ID.test(sessionId);
  const id = placeOf([place, flat]);
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

/** Returns the place of a row, as the entry has it as its `id`. The place of a malformed row alone names it. */
export function placeOf([place, flat]: OutboxRow): string {
  const valueOf = (name: string): string => {
    const at = flat.findIndex((field, index) => index % 2 === 0 && field === name);
    return at < 0 ? '' : (flat[at + 1] ?? '');
  };
  const [logId, sessionId] = [valueOf('i'), valueOf('u')];
  const isSound = SESSION_ID.test(sessionId) && (logId === '' || LOG_ID.test(logId));
  return formatPlace(isSound ? { place, logId, sessionId } : { place, logId: '', sessionId: '' });
}

/** Returns the first rows, up to the one with which they have this many bytes or more. */
export function untilFull(rows: OutboxRow[], maxBytes: number): OutboxRow[] {
  let bytes = 0;
  const last = rows.findIndex(([, flat]) => {
    for (const value of flat) bytes += Buffer.byteLength(value);
    return bytes >= maxBytes;
  });
  return last < 0 ? rows : rows.slice(0, last + 1);
}

function formatPlace({ place, logId, sessionId }: Place): string {
  return `${place} ${logId} ${sessionId}`;
}

/** Parses what {@link formatPlace} returns. Throws a `TypeError` for another text. */
export function parsePlace(id: string): Place {
  const [place = '', logId = '', ...more] = id.split(' ');
  if (!PLACE.test(place)) throw new TypeError(`This is no place in an outbox: ${id.slice(0, 100)}`);
  return { place, logId, sessionId: more.join(' ') };
}
