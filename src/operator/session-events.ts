/** Reads a session's log for operators: from any place, filtered, and on from its end. */
import type { LogId, SessionRecords } from '../backplane/backplane.js';
import { compareLogIds, justBefore, LOG_START } from '../backplane/backplane.js';
import { AnynodeError } from '../protocol/errors.js';
import type { Clock } from '../protocol/timing/clock.js';
import { jittered } from '../protocol/timing/clock.js';
import { eventOf } from './event-of-entry.js';
import { withParams } from '../replica/initialize/logged-initialize.js';
import type { Redact, SessionEvent, SessionEventType } from '../options/public-types.js';

/** Selects the events of a session that are shown. All conditions have to hold. */
export interface EventOptions {
  /**
   * Where to begin. With the id of an event, only later events are shown. The first one is `log.trimmed` if some events in
   * between may not be kept any more. With a time, only events from then on are shown, as far as they are kept. Default: from
   * the oldest event that is kept.
   */
  after?: string | Date | undefined;
  /**
   * Where to end: the id of an event, or a time. The iteration ends after the last event up to there. With `follow`, it ends
   * when a later event comes. Default: no end.
   */
  until?: string | Date | undefined;
  /** The iteration ends after this many events. Default: no limit. */
  limit?: number | undefined;
  /** Only events of these types. Default: all. */
  types?: SessionEventType[] | undefined;
  /** Only messages of the client (`in`) or to it (`out`). Default: both, and events that are no messages. */
  direction?: 'in' | 'out' | undefined;
  /** Only events of this stream, as an event names it: all of one POST, or of the GET (`g`). Default: all. */
  stream?: string | undefined;
  /** Only requests and notifications of this method, or of one of these methods. Answers have no method. Default: all. */
  method?: string | string[] | undefined;
  /**
   * Whether the iteration goes on with later events, until the session ends (its last event is `session.closed`),
   * `signal` aborts, or the loop is left. While the backplane is away it waits. Once this node is closed it rejects
   * with `closed`. It does not keep the session alive. Default `false`.
   */
  follow?: boolean | undefined;
  /**
   * With `follow`, how often the node looks for new events. It looks rather than being told, so that sessions that are not
   * watched cost nothing. A look is two short commands. Default 1,000 ms.
   */
  pollMs?: number | undefined;
  /** Ends the iteration without an error. */
  signal?: AbortSignal | undefined;
}

export interface EventParts {
  backplane: SessionRecords;
  clock: Clock;
  redact: Redact | undefined;
}

const PAGE = 100;
const POLL_MS = 1000;

const TYPES: Record<SessionEventType, true> = {
  'session.created': true,
  'session.initialized': true,
  'session.closed': true,
  'message.received': true,
  'message.sent': true,
  'stream.resumed': true,
  'request.cancelled': true,
  'request.recovered': true,
  'request.failed': true,
  'log.trimmed': true,
};

export function readEvents(
  parts: EventParts,
  sessionId: string,
  options: EventOptions,
): AsyncIterable<SessionEvent> {
  check(options);
  return select(parts, sessionId, options);
}

async function* select(
  parts: EventParts,
  sessionId: string,
  options: EventOptions,
): AsyncGenerator<SessionEvent, void, undefined> {
  for await (const event of limited(all(parts, sessionId, options), options)) {
    yield redacted(event, sessionId, parts.redact);
  }
}

/**
 * Selects events of a session that does not grow, such as one of an audit trail. `after` and `until` are places between its
 * events; the other options are as for {@link readEvents}. Throws a `TypeError` for invalid options.
 */
export function selectEvents(
  events: AsyncIterable<SessionEvent>,
  options: EventOptions,
): AsyncIterable<SessionEvent> {
  check(options);
  return limited(later(events, options), options);
}

async function* later(
  events: AsyncIterable<SessionEvent>,
  { after = LOG_START, signal }: EventOptions,
): AsyncGenerator<SessionEvent, void, undefined> {
  const from = after instanceof Date ? justBefore(startOf(after)) : after;
  for await (const event of events) {
    if (signal?.aborted === true) return;
    if (compareLogIds(event.id, from) > 0) yield event;
  }
}

/** Selects the events that match, up to the limit and the end. */
async function* limited(
  events: AsyncIterable<SessionEvent>,
  options: EventOptions,
): AsyncGenerator<SessionEvent, void, undefined> {
  const { limit = Infinity } = options;
  const until = options.until instanceof Date ? endOf(options.until) : options.until;
  const fits = filterOf(options);
  let left = limit;
  if (left <= 0) return;
  for await (const event of events) {
    const past = until === undefined ? -1 : compareLogIds(event.id, until);
    if (past > 0) return;
    if (fits(event)) {
      yield event;
      left -= 1;
    }
    if (left <= 0 || past === 0) return;
  }
}

function filterOf({ types, direction, stream, method }: EventOptions) {
  const methods = typeof method === 'string' ? [method] : method;
  return (event: SessionEvent): boolean =>
    types?.includes(event.type) !== false &&
    (direction === undefined || event.direction === direction) &&
    (stream === undefined || event.stream === stream) &&
    methods?.includes(event.method ?? '') !== false;
}

async function* all(
  { backplane, clock }: EventParts,
  sessionId: string,
  { after = LOG_START, follow = false, pollMs = POLL_MS, signal }: EventOptions,
): AsyncGenerator<SessionEvent, void, undefined> {
  let reached: LogId = after instanceof Date ? justBefore(startOf(after)) : after;
  /** The last event that is known, read here or by the caller before. */
  let last = after instanceof Date || after === LOG_START ? undefined : after;
  let known = false;
  const aborted = (): boolean => signal?.aborted === true;
  while (!aborted()) {
    try {
      const entries = await backplane.history(sessionId, reached, PAGE);
      if (entries.length > 0 && last !== undefined) {
        const [oldest] = await backplane.history(sessionId, LOG_START, 1);
        const next = following(last);
        if (oldest !== undefined && compareLogIds(oldest.logId, next) > 0) {
          yield unlogged('log.trimmed', next, oldest.at);
        }
      }
      for (const entry of entries) {
        if (aborted()) return;
        reached = last = entry.logId;
        known = true;
        yield await withParams(eventOf(entry), sessionId, backplane);
      }
      if (entries.length > 0) continue;
      if (!follow) return;
      if ((await backplane.load(sessionId)) === undefined) {
        if (known) yield unlogged('session.closed', following(reached), clock.now());
        return;
      }
      known = true;
    } catch (error) {
      const isAway = error instanceof AnynodeError && error.code === 'backplane_unavailable';
      if (!follow || !known || !isAway) throw error;
    }
    await pause(clock, jittered(pollMs, clock), signal);
  }
}

/** Makes an event that is not in the log. */
function unlogged(type: SessionEventType, id: LogId, at: number): SessionEvent {
  return { id, at, type, direction: undefined, stream: undefined, message: undefined };
}

/** Returns the first place after an event. No other place is between them. */
export function following(logId: LogId): LogId {
  const [ms = '0', counter = '0'] = logId.split('-');
  return `${ms}-${Number(counter) + 1}`;
}

function redacted(
  event: SessionEvent,
  sessionId: string,
  redact: Redact | undefined,
): SessionEvent {
  const { message, direction, id, at, type, stream } = event;
  if (redact === undefined || message === undefined || direction === undefined) return event;
  return { ...event, message: redact(message, { sessionId, id, at, type, direction, stream }) };
}

function pause(clock: Clock, ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      cancel();
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const cancel = clock.after(ms, done);
    signal?.addEventListener('abort', done, { once: true });
    if (signal?.aborted === true) done();
  });
}

function check(options: EventOptions): void {
  const { limit, types, direction, stream, method, pollMs } = options;
  for (const name of ['after', 'until'] as const) {
    const id = options[name];
    if (id === undefined || isEventId(id) || isTime(id)) continue;
    throw new TypeError(
      `mcp-anynode: \`${name}\` has to be the id of an event or a time, and is ${said(id)}`,
    );
  }
  if (stream !== undefined && typeof stream !== 'string') {
    throw new TypeError('mcp-anynode: `stream` has to be the name of a stream');
  }
  if (limit !== undefined && !(limit >= 0)) {
    throw new TypeError(
      `mcp-anynode: \`limit\` has to be a number of events, and is ${said(limit)}`,
    );
  }
  const unknown = types?.find((type) => !(type in TYPES));
  if (unknown !== undefined) {
    const list = Object.keys(TYPES).join(', ');
    throw new TypeError(`mcp-anynode: no event has the type ${said(unknown)}; there are ${list}`);
  }
  if (direction !== undefined && !['in', 'out'].includes(direction)) {
    throw new TypeError(`mcp-anynode: \`direction\` can only be 'in' or 'out'`);
  }
  if (method !== undefined && typeof method !== 'string' && !Array.isArray(method)) {
    throw new TypeError('mcp-anynode: `method` has to be a string, or a list of them');
  }
  if (pollMs !== undefined && !(pollMs > 0 && pollMs < Infinity)) {
    throw new TypeError('mcp-anynode: `pollMs` has to be more than 0');
  }
}

function isTime(value: unknown): boolean {
  return value instanceof Date && value.getTime() >= 0;
}

/** Returns the first place of the log at a time. */
function startOf(time: Date): LogId {
  return `${time.getTime()}-0`;
}

/** Returns the last place of the log at a time. */
function endOf(time: Date): LogId {
  return justBefore(`${time.getTime() + 1}-0`);
}

export function isEventId(value: unknown): value is string {
  return typeof value === 'string' && /^\d{1,16}-\d{1,16}$/.test(value);
}

function said(value: unknown): string {
  return typeof value === 'string' ? JSON.stringify(value) : String(value);
}
