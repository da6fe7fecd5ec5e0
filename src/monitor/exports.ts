/** Makes files of a session that can be taken along. */
import type { Observer } from '../operator/observer.js';
import { jsonLine } from '../operator/export-lines.js';
import { onOneLine } from '../protocol/json/json-text.js';
import type { EventSummary } from '../timeline/event-summary.js';
import { mermaid } from '../timeline/mermaid.js';
import type { HandlerOptions } from './handler.js';
import { htmlFile } from './html-file.js';
import { Refused } from './reply.js';
import { redacted, type Summarize } from './summarize.js';

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
