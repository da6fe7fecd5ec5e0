/** Makes files of a session that can be taken along, and reads them again. */
import type { Observer } from '../operator/observer.js';
import { jsonLine } from '../operator/export-lines.js';
import { onOneLine } from '../protocol/json/json-text.js';
import type { SessionEvent, SessionInfo } from '../options/public-types.js';
import type { EventSummary } from '../timeline/event-summary.js';
import { summaryOf } from '../timeline/event-summary.js';
import { mermaid } from '../timeline/mermaid.js';
import type { HandlerOptions } from './http/handler.js';
import { htmlFile } from './html-file.js';
import { Refused } from './http/reply.js';
import { redacted, type Summarize } from './summarize.js';
import type { OfflineData } from './wire.js';

const FORMATS = ['jsonl', 'mermaid', 'html'];
/** A file is made in the memory of this process. */
const MOST_EVENTS = 100_000;

export async function exportOf(
  observer: Observer,
  {
    id,
    format = '',
    summarize,
    options: { payloads = false, redact },
  }: { id: string; format: string | undefined; summarize: Summarize; options: HandlerOptions },
): Promise<{ type: string; text: string }> {
  if (!FORMATS.includes(format)) {
    throw new Refused(400, `format has to be one of ${FORMATS.join(', ')}`);
  }
  const info = await observer.sessions.get(id);
  if (info === undefined) throw new Refused(404, 'There is no such session');
  const lines = [`${onOneLine(JSON.stringify({ v: 1, session: id, info }))}\n`];
  const events: EventSummary[] = [];
  for await (const event of observer.sessions.events(id, { limit: MOST_EVENTS })) {
    const summary = summarize(id, event);
    events.push(summary);
    if (format !== 'jsonl') continue;
    // Without messages, the summary says what became of each request.
    const { kind, name, toolError, code, reason } = summary;
    const line = { ...redacted(id, event, redact), ...{ kind, name, toolError, code, reason } };
    lines.push(jsonLine(id, payloads ? line : { ...line, message: undefined }));
  }
  if (format === 'jsonl') return { type: 'application/jsonl; charset=utf-8', text: lines.join('') };
  if (format === 'mermaid') {
    const { name } = info.clientInfo;
    return {
      type: 'text/plain; charset=utf-8',
      text: mermaid(events, `session ${id.slice(0, 8)} of ${name}`),
    };
  }
  return { type: 'text/html; charset=utf-8', text: htmlFile({ sessions: [{ id, info, events }] }) };
}

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
