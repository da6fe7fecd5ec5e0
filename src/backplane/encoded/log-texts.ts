/** Encodes and decodes messages in the log of a session. Each is bound to its direction and its stream. */
import type { Route } from '../backplane.js';
import type { LogEntry } from '../session-log.js';
import type { PageOrder } from './log-order.js';
import { LogOrder } from './log-order.js';
import type { Origin, Payloads } from './payloads.js';
import type { LogId } from '../positions.js';

/** The place of an entry. */
export type LogPlace = Pick<LogEntry, 'logId' | 'direction' | 'stream'>;

/**
 * The result of decoding an entry:
 *
 * - `text`: the message.
 * - `unreadable`: this node cannot decode it.
 * - `forged`: a node encoded it, but not for this place.
 */
export type DecodedText = { text: string; origin: Origin | undefined } | 'unreadable' | 'forged';

const NO_STREAM = '-';

/** Returns the purpose of a client's message. A message that opens no stream is bound to its route, too. */
export function purposeIn(stream: string | undefined, route?: Route): string {
  if (stream !== undefined || route === undefined) return `in ${stream ?? NO_STREAM}`;
  return `in ${NO_STREAM} ${route.to === 'node' ? toNode(route.nodeId) : route.to}`;
}

/** Returns the purpose of a message to the client. */
export function purposeOut(stream: string): string {
  return `out ${stream}`;
}

const UNDIRECTED = purposeIn(undefined) + ' ';
/** The routes on which a backplane sends a message from the log to other nodes. */
const SENT_ROUTES: ReadonlySet<string> = new Set(['executor', 'replicas', 'initialized']);

/**
 * True if a text of the log may be sent to this node: it opens no stream, its route leads to other nodes, and this node has
 * not stored it itself. With `undefined` the origin is not known, because the codec takes plaintext.
 */
export function isSentTo(nodeId: string, origin: Origin | undefined): boolean {
  if (origin === undefined) return true;
  if (origin.nodeId === nodeId || !origin.purpose.startsWith(UNDIRECTED)) return false;
  const route = origin.purpose.slice(UNDIRECTED.length);
  return SENT_ROUTES.has(route) || route === toNode(nodeId);
}

function toNode(nodeId: string): string {
  return `node:${nodeId}`;
}

export class LogTexts {
  private readonly order = new LogOrder();

  constructor(private readonly payloads: Payloads) {}

  /** Decodes an entry of the log. `page` is the order of the entries that are read together. */
  decode(stored: string, sessionId: string, place: LogPlace, page?: PageOrder): DecodedText {
    const { logId, direction, stream } = place;
    const where = `entry ${logId}`;
    const opened = this.payloads.decodeWithOrigin(stored, { sessionId, kind: 'message' }, where);
    if (opened === undefined) return 'unreadable';
    const { text, origin } = opened;
    if (origin === undefined) return { text, origin };
    const wanted = direction === 'in' ? purposeIn(stream) : purposeOut(stream ?? NO_STREAM);
    const { purpose } = origin;
    const isMeant =
      purpose === wanted || (wanted + ' ' === UNDIRECTED && purpose.startsWith(UNDIRECTED));
    if (isMeant && this.order.fits(sessionId, origin, place, page)) return { text, origin };
    this.payloads.warn(`${where} is not where the node that encoded it has put it`);
    return 'forged';
  }

  /** True if this node has read or stored an entry of the session. */
  know(sessionId: string): boolean {
    return this.order.knows(sessionId);
  }

  /** Notes that this node has stored a text with this number. */
  stored(sessionId: string, nodeId: string, number: number, logId: LogId): void {
    this.order.isBelowHighest(sessionId, { nodeId, number }, logId);
  }
}
