/** Writes a session as a Mermaid sequence diagram. */
import type { EventSummary } from './event-summary.js';
import { lasted } from './explain.js';
import { timeline } from './timeline.js';
import type { Bar, Mark } from './picture.js';

type Line = [at: number, text: string];

/** Returns the text of a `sequenceDiagram`: client, nodes and handler, and an arrow for each message. */
export function mermaid(events: EventSummary[], title: string): string {
  const { nodes, bars, marks, from } = timeline(events);
  const names = new Map(nodes.map((node, index) => [node, `N${index + 1}`]));
  const lane = (node: string | null | undefined): string => names.get(node ?? '') ?? 'H';
  const lines: Line[] = [];
  for (const bar of bars) {
    if (bar.kind === 'call') lines.push(...callLines(bar, lane));
    else lines.push(...questionLines(bar, lane));
  }
  for (const mark of marks) lines.push(...markLines(mark, lane));
  const inOrder = lines
    .map((line, index) => ({ line, index }))
    .sort((a, b) => a.line[0] - b.line[0] || a.index - b.index)
    .map(({ line: [at, text] }) => `  ${text} [+${lasted(at - from)}]`);
  return [
    'sequenceDiagram',
    `  title ${escaped(title)}`,
    '  participant C as client',
    ...nodes.map((node) => `  participant ${lane(node)} as node ${escaped(node)}`),
    '  participant H as handler',
    ...inOrder,
    '',
  ].join('\n');
}

function callLines(bar: Bar, lane: (node: string | null | undefined) => string): Line[] {
  const what = escaped(`${bar.label} #${String(bar.requestId)}`);
  const received = lane(bar.receivedBy);
  const ran = lane(bar.ranBy ?? bar.receivedBy);
  const lines: Line[] = [[bar.start, `C->>${received}: ${what}`]];
  if (ran !== received) lines.push([bar.start, `${received}->>${ran}: ${what}`]);
  if (ran !== 'H') lines.push([bar.start, `${ran}->>H: ${what}`]);
  if (bar.end === undefined) return lines;
  const arrow = bar.outcome === 'ok' ? '-->>' : '--x';
  const answer = `${escaped(bar.label)} ${bar.outcome.replace('_', ' ')} after ${lasted(bar.end - bar.start)}`;
  if (bar.outcome === 'cancelled') return [...lines, [bar.end, `Note over ${ran}: ${answer}`]];
  if (ran !== 'H' && bar.outcome !== 'lost') lines.push([bar.end, `H-->>${ran}: ${answer}`]);
  const shown = lane(bar.shownBy ?? bar.endedBy ?? bar.ranBy);
  if (shown !== ran) lines.push([bar.end, `${ran}-->>${shown}: ${answer}`]);
  lines.push([bar.end, `${shown}${arrow}C: ${answer}`]);
  return lines;
}

function questionLines(bar: Bar, lane: (node: string | null | undefined) => string): Line[] {
  const what = escaped(bar.method);
  const asker = lane(bar.receivedBy);
  const shown = lane(bar.shownBy ?? bar.receivedBy);
  const lines: Line[] = [];
  if (shown !== asker) lines.push([bar.start, `${asker}->>${shown}: ${what}`]);
  lines.push([bar.start, `${shown}->>C: ${what}?`]);
  if (bar.end === undefined) return lines;
  const answered = lane(bar.answeredBy ?? bar.receivedBy);
  lines.push([bar.end, `C-->>${answered}: answer to ${what}`]);
  if (answered !== asker) lines.push([bar.end, `${answered}-->>${asker}: answer to ${what}`]);
  return lines;
}

function markLines(mark: Mark, lane: (node: string | null | undefined) => string): Line[] {
  const { at, kind, node, shownBy, direction, method } = mark;
  const name = lane(node);
  if (kind === 'message') {
    const what = escaped(method ?? 'message');
    if (direction === 'in') return [[at, `C-)${name}: ${what}`]];
    if (shownBy === null) return [[at, `Note over ${name}: ${what} waits, the client is away`]];
    const shown = lane(shownBy ?? node);
    const hop: Line[] = shown === name ? [] : [[at, `${name}-)${shown}: ${what}`]];
    return [...hop, [at, `${shown}-)C: ${what}`]];
  }
  const where = node === undefined ? 'C' : name;
  return [[at, `Note over ${where}: ${escaped(sayMark(mark))}`]];
}

/** Says what a mark means, in a few words. */
export function sayMark({ kind, method, from, stream, skipped, waited, shownBy }: Mark): string {
  const of = stream === undefined || stream === 'g' ? 'GET stream' : 'stream of the call';
  const after = from === undefined ? '' : ` (before: node ${from})`;
  switch (kind) {
    case 'message':
      return shownBy === null
        ? `${method ?? 'message'}, kept until the client is back`
        : (method ?? 'message');
    case 'created':
      return 'session created';
    case 'initialized':
      return 'session initialized';
    case 'closed':
      return 'session ended';
    case 'cancelled':
      return 'the client cancels a request';
    case 'cut':
      return `connection gone: ${of}`;
    case 'resumed':
      return `client came back: ${of}${after}${waited === undefined ? '' : `, ${String(waited)} messages had waited`}${skipped === undefined ? '' : `, and ${String(skipped)} times before that are not in the log`}`;
    case 'moved':
      return `connection found here: ${of}${after}`;
    case 'recovered':
      return `ran the request again${after}`;
    case 'failed':
      return `ended a request whose node was gone${after}`;
    case 'died':
      return 'node died or was closed';
    case 'owner':
      return `owns the session now${after}`;
    case 'trimmed':
      return 'older events are not kept any more';
  }
}

/** Mermaid reads `;` and `#` as its own, and HTML in labels. Entity codes are read as text. */
function escaped(text: string): string {
  return text
    .slice(0, 200)
    .replace(/[^\p{L}\p{N} ._/+()…-]/gu, (c) =>
      /\s/u.test(c) ? ' ' : `#${String(c.codePointAt(0))};`,
    )
    .replace(/\b(end)\b/gi, '$1#8203;');
}
