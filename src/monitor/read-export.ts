/** Reads what `export` and the page write as JSON Lines. */
import type { SessionEvent, SessionInfo } from '../options/public-types.js';
import { summaryOf } from '../timeline/event-summary.js';
import type { EventSummary } from '../timeline/event-summary.js';
import type { OfflineData } from './wire.js';

const TYPES = new Set([
  ...['session.created', 'session.initialized', 'session.closed', 'message.received'],
  ...['message.sent', 'stream.resumed', 'request.cancelled', 'request.recovered'],
  ...['request.failed', 'log.trimmed'],
]);

/** Reads an export. Throws a `TypeError` that names the line for a text that is none. */
export function readExport(text: string): OfflineData {
  const sessions = new Map<string, OfflineData['sessions'][number]>();
  for (const [index, line] of text.split('\n').entries()) {
    if (line.trim() === '') continue;
    const value = parse(line);
    if (value === undefined || value.v !== 1 || typeof value.session !== 'string') {
      throw new TypeError(`mcp-anynode: line ${index + 1} is not a line of an export`);
    }
    const { session: id } = value;
    const session = sessions.get(id) ?? { id, info: undefined, events: [] };
    sessions.set(id, session);
    if (typeof value.info === 'object' && value.info !== null) {
      session.info = value.info as unknown as SessionInfo;
    } else {
      session.events.push(eventOf(value, index + 1));
    }
  }
  return { sessions: [...sessions.values()] };
}

function eventOf(value: Record<string, unknown>, line: number): EventSummary {
  const isEvent =
    typeof value.id === 'string' &&
    typeof value.at === 'number' &&
    typeof value.type === 'string' &&
    TYPES.has(value.type);
  if (!isEvent) throw new TypeError(`mcp-anynode: line ${line} is not an event of an export`);
  const event = value as unknown as SessionEvent;
  const summary = summaryOf(event, { messages: true });
  if (event.message !== undefined) return summary;
  // An export without messages says in their place what became of each request.
  const { kind, name, toolError, code, reason } = value as unknown as EventSummary;
  return {
    ...summary,
    ...(typeof kind === 'string' && { kind }),
    ...(typeof name === 'string' && { name }),
    ...(toolError === true && { toolError: true as const }),
    ...(typeof code === 'number' && { code }),
    ...(typeof reason === 'string' && { reason }),
  };
}

function parse(line: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}
