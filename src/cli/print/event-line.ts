import type { SessionEvent } from '../../options/public-types.js';
import type { Output } from './output.js';
import { preview } from './preview.js';
import { clockTime, cut, dateTime, pad, plain, widthOf } from './text.js';

/** The most columns of a message's preview. A terminal may be narrower. */
const PREVIEW = 160;
const LONGEST_NAME = 80;

export interface EventLineOptions {
  /** The session, if the lines are of several. */
  session?: string;
  /** True if the date is shown with the time. */
  withDate?: boolean;
  /** What stands in the place of a message that cannot be read. Default: `(encrypted)`. */
  unreadableAs?: string;
}

/** Formats an event as one line: time, direction, stream and content. Nothing in the line moves the cursor. */
export function eventLine(
  event: SessionEvent,
  output: Output,
  { session, withDate = false, unreadableAs = '(encrypted)' }: EventLineOptions = {},
): string {
  const arrow = { in: '→', out: '←', none: '·' }[event.direction ?? 'none'];
  const head = [
    withDate ? `${dateTime(event.at)}${clockTime(event.at).slice(8)}` : clockTime(event.at),
    ...(session === undefined ? [] : [pad(cut(plain(session), 8), 8)]),
    arrow,
    pad(plain(event.stream ?? '-').slice(0, LONGEST_NAME), 13),
  ].join(' ');
  const what = plain(cut(whatOf(event, unreadableAs), PREVIEW));
  const room = output.width === undefined ? undefined : output.width - widthOf(head) - 1;
  const said = plain(cut(event.message === undefined ? '' : preview(event.message), PREVIEW));
  const whole = said === '' ? what : `${what} ${said}`;
  const shown = room === undefined ? whole : cut(whole, Math.max(room, 0));
  const [strong, rest] = [shown.slice(0, what.length), shown.slice(what.length)];
  return `${output.style('dim', head)} ${output.style(colorOf(event), strong)}${rest}`;
}

/** Returns text such as `tools/call 3` or `answer 3`, or what happened to a stream or session. */
function whatOf(
  { message, type, method, requestId, from, skipped, unreadable }: SessionEvent,
  unreadableAs: string,
): string {
  const id = requestId === undefined ? '' : ` ${JSON.stringify(requestId)}`;
  if (message !== undefined) return `${method ?? 'answer'}${id}`;
  const details = [
    ...(from === undefined ? [] : [`from ${from}`]),
    ...(skipped === undefined ? [] : [`and ${skipped} more times before`]),
    ...(unreadable === true ? [unreadableAs] : []),
  ];
  return [`${type}${id}`, ...details].join(' ');
}

function colorOf({ message }: SessionEvent) {
  if (message === undefined) return 'yellow' as const;
  if ('error' in message) return 'red' as const;
  return 'method' in message ? ('cyan' as const) : ('green' as const);
}
