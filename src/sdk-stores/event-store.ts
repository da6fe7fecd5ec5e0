import { createHash } from 'node:crypto';
import type { Position } from '../backplane/backplane.js';
import type { Replays } from '../backplane/sdk-store-access.js';
import { AnynodeError } from '../protocol/errors.js';
import type { EventStore } from './store-types.js';

/** How many bytes are read at a time while events are replayed. */
const PAGE_BYTES = 262_144;
/**
 * The format of an event id: `<log id>.<number>.<tag of the session>.<stream>`. Each session has a stream of the same name
 * for its GET. Without the tag, an event id of another session would be taken for a place in this session. Names of streams
 * longer than those of the SDK are not found.
 */
const FORMAT = /^(\d{1,15}-\d{1,15})\.(\d{1,15})\.([\w-]{8})\.([\w-]{1,1400})$/;
/**
 * The event without a message with which the SDK gives a client its first id. It is not replayed, because it is not a
 * message.
 */
const PRIMING = '{}';

export function eventStore(replays: () => Replays, sessionId: string): EventStore {
  const tag = createHash('sha256').update(sessionId).digest('base64url').slice(0, 8);
  const read = async (eventId: string, maxBytes: number) => {
    const parsed = parse(eventId, tag);
    if (parsed === undefined) return { status: 'unknown' } as const;
    const { stream, position } = parsed;
    return { stream, ...(await replays().read(sessionId, stream, position, maxBytes)) };
  };
  return {
    async storeEvent(streamId, message) {
      if (streamId === '') throw new TypeError('mcp-anynode: a stream needs a name');
      const position = await replays().append(sessionId, streamId, JSON.stringify(message));
      return format(streamId, position, tag);
    },
    async getStreamIdForEventId(eventId) {
      const page = await read(eventId, 1);
      // An event that cannot be decoded exists all the same. `replayEventsAfter` reports the error.
      return page.status === 'ok' || page.status === 'unreadable' ? page.stream : undefined;
    },
    async replayEventsAfter(lastEventId, options) {
      for (let eventId = lastEventId; ;) {
        const page = await read(eventId, PAGE_BYTES);
        if (page.status === 'unknown') throw new Error('There is no such event in this session');
        if (page.status === 'trimmed')
          throw new Error('Events after this one are not kept any more');
        if (page.status === 'unreadable')
          throw new AnynodeError('undecodable', 'Events after this one cannot be decoded here');
        for (const { position, message } of page.events) {
          eventId = format(page.stream, position, tag);
          if (message !== PRIMING) await options.send(eventId, JSON.parse(message) as never);
        }
        if (!page.more || page.events.length === 0) return page.stream;
      }
    },
  };
}

function format(stream: string, { n, logId }: Position, tag: string): string {
  return `${logId}.${n}.${tag}.${Buffer.from(stream).toString('base64url')}`;
}

/** Parses an event id of a client. Accepts only what `format` writes for this session. */
function parse(eventId: string, tag: string): { stream: string; position: Position } | undefined {
  const [, logId, n, , name] = FORMAT.exec(eventId) ?? [];
  if (logId === undefined || n === undefined || name === undefined) return undefined;
  const stream = Buffer.from(name, 'base64url').toString();
  const position = { n: Number(n), logId };
  return format(stream, position, tag) === eventId ? { stream, position } : undefined;
}
