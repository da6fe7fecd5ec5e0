/**
 * Parses the replies of scripts into the backplane's types. Each function names the script whose header defines the format.
 */
import type {
  AttachReply,
  CommitReply,
  LogEntry,
  NewSession,
  Note,
  OperationResult,
  Page,
  Position,
  Revision,
  SessionRecord,
  StreamEvent,
  TouchReply,
} from '../../backplane.js';
import { isRevision } from '../../revision.js';
import { parseTrace } from '../../../protocol/trace.js';
import { MalformedSession } from '../malformed-session.js';
import { parseHolder } from '../streams-hash.js';

type Reply = (string | Reply)[];

/** Parses what create.lua returns: the positions of the messages that it logged. The first one is the client's. */
export function createdPositions(logIds: string[], { outbound }: NewSession): Position[] {
  const numbers = new Map<string, number>();
  return logIds.map((logId, at) => {
    const stream = outbound[at - 1]?.stream;
    if (stream === undefined) return { n: 0, logId };
    const n = (numbers.get(stream) ?? 0) + 1;
    numbers.set(stream, n);
    return { n, logId };
  });
}

/** The value of `sub:<uri>` if no seal was stored with the subscription. */
const UNSEALED = '1';

export function recordOf(id: string, flat: string[]): SessionRecord {
  const fields = new Map<string, string>();
  for (let at = 0; at + 1 < flat.length; at += 2) fields.set(flat[at] ?? '', flat[at + 1] ?? '');
  const seal = joined(fields, 'seal');
  const subscribed = [...fields]
    .filter(([key]) => key.startsWith('sub:'))
    .map(([key, value]) => [key.slice(4), value] as const);
  const sealed = subscribed.filter(([, value]) => value !== UNSEALED);
  return {
    id,
    revision: fields.get('rev') ?? '',
    initialize: joined(fields, 'init') ?? '{}',
    protocolVersion: fields.get('pv') ?? '',
    principal: fields.get('pr') ?? '',
    ...(seal !== undefined && { seal }),
    createdAt: Number(fields.get('at')),
    lastSeenAt: Number(fields.get('seen')),
    active: fields.get('on') === '1',
    logLevel: fields.get('lvl'),
    subscriptions: subscribed.map(([uri]) => uri),
    errors: Number(fields.get('errs') ?? 0),
    ...(sealed.length > 0 && { subscriptionSeals: new Map(sealed) }),
    owner: fields.get('own'),
  };
}

/** Checks that nodes can work with a record. Throws a {@link MalformedSession} if they cannot. */
export function verifiedRecord(record: SessionRecord): SessionRecord {
  const numbers = [record.createdAt, record.lastSeenAt];
  if (!isRevision(record.revision) || !numbers.every((number) => Number.isSafeInteger(number))) {
    throw new MalformedSession('its record');
  }
  return record;
}

/** Texts of up to this many bytes are cut into pieces. With more pieces, each access to the hash would take longer. */
const MOST_IN_PIECES = 512;
/** The default of `hash-max-listpack-value`. With one longer value, a hash takes some 500 bytes more. */
const PIECE = 64;

/** The params of a client's `initialize`, as fields of the record: `init`, `init1`, `init2` and so on. */
export function initializeFields(text: string): string[] {
  return inPieces('init', text, MOST_IN_PIECES);
}

/** A session's seal, as fields of the record: `seal`, `seal1`, `seal2`. */
export function sealFields(text: string): string[] {
  return inPieces('seal', text, SEAL_FIELDS.length * PIECE);
}

export const SEAL_FIELDS = ['seal', 'seal1', 'seal2'] as const;

/** Returns the seal from the values of {@link SEAL_FIELDS}. */
export function sealOf([first, ...more]: (string | null)[]): string | undefined {
  return first == null ? undefined : first + more.map((piece) => piece ?? '').join('');
}

function inPieces(name: string, text: string, most: number): string[] {
  const bytes = Buffer.from(text);
  if (bytes.length > most) return [name, text];
  const fields: string[] = [];
  let from = 0;
  do {
    let end = from + PIECE;
    // Do not cut within a character.
    while (((bytes[end] ?? 0) & 0xc0) === 0x80) end -= 1;
    fields.push(pieceField(name, fields.length / 2), bytes.toString('utf8', from, end));
    from = end;
  } while (from < bytes.length);
  return fields;
}

function pieceField(name: string, piece: number): string {
  return piece === 0 ? name : `${name}${piece}`;
}

function joined(fields: Map<string, string>, name: string): string | undefined {
  let text = fields.get(name);
  for (let piece = 1; text !== undefined; piece += 1) {
    const more = fields.get(pieceField(name, piece));
    if (more === undefined) break;
    text += more;
  }
  return text;
}

/** Parses an entry of the log from its stored fields. */
export function logEntry(logId: string, flat: string[]): LogEntry {
  const fields = new Map<string, string>();
  for (let at = 0; at + 1 < flat.length; at += 2) fields.set(flat[at] ?? '', flat[at + 1] ?? '');
  const note = noteOf(fields);
  const [by, holder] = [fields.get('by'), fields.get('h')];
  const trace = parseTrace(fields.get('t'));
  return {
    logId,
    at: Number(logId.split('-')[0]),
    direction: fields.has('n') ? 'out' : 'in',
    stream: fields.get('s'),
    message: fields.get('m'),
    asker: fields.get('q'),
    ...(note === undefined && by !== undefined && { by }),
    ...(holder !== undefined && { holder: holder === '-' ? null : holder }),
    ...(note !== undefined && { note }),
    ...(trace !== undefined && { trace }),
  };
}

/** A newer node may have written other kinds. */
function noteOf(fields: Map<string, string>): Note | undefined {
  const kind = fields.get('k');
  if (kind === undefined) return undefined;
  const [request, from, skipped] = [fields.get('r'), fields.get('f'), fields.get('x')];
  return {
    kind: kind as Note['kind'],
    nodeId: fields.get('by') ?? '',
    ...(request !== undefined && { request }),
    ...(from !== undefined && { from }),
    ...(skipped !== undefined && { skipped: Number(skipped) }),
  };
}

/** Parses the reply of commit.lua. */
export function commitReply(sessionId: string, reply: unknown): CommitReply {
  if (typeof reply === 'string') {
    const [revision, ...result] = reply.split(' ');
    return { status: 'ok', revision: revisionOf(revision), results: [operationResult(result)] };
  }
  const [status, revision, record, followedBy, results, becameOwner] = reply as Reply;
  if (status !== 'ok') return { status: 'gone' };
  const said: CommitReply = {
    status: 'ok',
    revision: revisionOf(revision),
    results: (results as string[][]).map((result) => operationResult(result)),
    ...(becameOwner === '1' && { becameOwner: true }),
  };
  if (Array.isArray(record)) {
    said.record = verifiedRecord(recordOf(sessionId, record as string[]));
  }
  if (typeof followedBy === 'string' && followedBy !== '') {
    said.followedBy = followedBy.slice(0, followedBy.indexOf(':'));
  }
  return said;
}

function revisionOf(value: unknown): Revision {
  if (!isRevision(value)) throw new MalformedSession('its revision');
  return value;
}

/** Parses a number that counts from 0. */
function whole(value: unknown): number {
  const number = Number(value);
  if (!Number.isSafeInteger(number) || number < 0) throw new MalformedSession('a number');
  return number;
}

function operationResult(reply: string[]): OperationResult {
  const [status, a = '', b = '', c = '', d = '', e = '', f = ''] = reply;
  switch (status) {
    case 'opened':
      return { status, position: { n: Number(a), logId: b }, ...(c !== '' && { owner: c }) };
    case 'exchanged':
      return { status, asked: { n: 0, logId: a }, answered: { n: 1, logId: b } };
    case 'received':
      return {
        status,
        here: a === '1',
        ...(b !== '' && { token: b }),
        ...(c !== '' && { handler: c }),
        ...(d !== '' && { changed: true }),
        ...(e !== '' && { unbegun: e }),
        ...(f !== '' && { logged: f }),
      };
    case 'appended':
      return {
        status,
        position: { n: Number(a), logId: b },
        ...(c !== '' && { token: c }),
        ...(e !== '' && { before: e }),
        ended: d === '1',
      };
    case 'duplicate':
      return { status, stream: a, executor: b };
    case 'limited': {
      const running: { stream: string; executor: string }[] = [];
      for (let at = 1; at + 1 < reply.length; at += 2) {
        running.push({ stream: reply[at] ?? '', executor: reply[at + 1] ?? '' });
      }
      return { status, running: running.filter(({ stream }) => stream !== '') };
    }
    case 'claimed': {
      const trace = parseTrace(b);
      return {
        ...{ status, requests: reply.slice(3) },
        ...(a !== '' && { owner: a }),
        ...(trace !== undefined && { trace }),
      };
    }
    case 'assigned':
      return {
        ...{ status, executor: a, begun: b === '1' },
        ...(c !== '' && { logId: d, requests: reply.slice(5) }),
        ...(c === 'again' && { again: true }),
      };
    case 'dropped':
      return {
        status,
        ...(a !== '' && { executor: a }),
        ...(a !== '' && b === '' && { unbegun: true }),
        ...(c === '1' && { again: true }),
      };
    case 'repeated':
    case 'stale':
    case 'skipped':
    case 'denied':
    case 'full':
    case 'done':
      return { status };
    default:
      throw new Error(`Unknown result of an operation: ${status ?? ''}`);
  }
}

/** Parses the reply of attach.lua. */
export function attachReply(reply: unknown): AttachReply {
  const [status, a = '', b = '', c = '', d = '', executor = '', begun, t] = reply as string[];
  switch (status) {
    case 'conflict':
      return { status, holder: parseHolder(a) };
    case 'unknown':
    case 'trimmed':
    case 'ended':
      return { status };
    case 'attached': {
      const trace = parseTrace(t);
      return {
        status,
        position: { n: Number(a), logId: b },
        protocolVersion: c,
        ...(executor !== '' && { executor }),
        ...(begun === '' && { unbegun: true }),
        ...(trace !== undefined && { trace }),
        ...(d.includes(':') && { previous: parseHolder(d) }),
      };
    }
    default:
      return { status: 'gone' };
  }
}

/** Parses the reply of read.lua. */
export function page(reply: unknown): Page {
  const [status, scanned = '', more, open, restart, ...items] = reply as string[];
  if (status === 'trimmed' || status === 'lost') return { status };
  if (status !== 'ok') return { status: 'gone' };
  const events: StreamEvent[] = [];
  for (let at = 0; at + 1 < items.length; at += 2) {
    const [logId = '', n = '', has, end, asker = ''] = (items[at] ?? '').split(' ');
    events.push({
      position: { n: whole(n), logId },
      message: has === '1' ? items[at + 1] : undefined,
      end: end === '1',
      ...(asker !== '' && { asker }),
    });
  }
  return {
    ...{ status, scanned, events, more: more === '1', open: open === '1' },
    ...(restart !== '' && { restart: Number(restart) }),
  };
}

/** Parses the reply of history.lua. */
export function history(reply: unknown): LogEntry[] {
  return (reply as [string, string[]][]).map(([logId, flat]) => logEntry(logId, flat));
}

/** Parses the reply of touch.lua. Of the streams asked for, the node follows the first `followed`, and runs the others. */
export function touchReply(followed: number, reply: unknown): TouchReply {
  const [status, ...values] = reply as string[];
  if (status !== 'ok') return { status: 'gone' };
  const all: { last: number; held: boolean; ended: boolean }[] = [];
  for (let at = 0; at + 1 < values.length; at += 2) {
    const state = values[at + 1];
    all.push({ last: Number(values[at]), held: state === '1', ended: state === 'e' });
  }
  const runs = all.slice(followed).map(({ held }) => held);
  return { status, streams: all.slice(0, followed), runs };
}
