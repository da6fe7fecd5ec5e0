import { BoundedMap } from '../../protocol/bounded-map.js';
import type { Origin } from './payloads.js';
import type { LogId } from '../positions.js';
import { compareLogIds, STANDALONE } from '../positions.js';

/** So many sessions are remembered, and of each so many nodes that have written to its log. */
const SESSIONS = 10_000;
const NODES = 32;
/** So many entries of standalone streams are remembered: a client comes back to those again and again. */
const ENTRIES = 20_000;

/** What is read in one go: by node, the number of its last text. */
export type PageOrder = Map<string, number>;

/**
 * Notices entries of a log that were moved or repeated. A node numbers the texts that it encodes, and its commits in one
 * session come one after the other: so of one node's entries in a log, a later one has a higher number, and no number comes
 * twice.
 *
 * Only what this node has read or written itself is remembered. An entry that was taken away leaves no trace.
 */
export class LogOrder {
  /** By session and node: the entry with the highest number. */
  private readonly sessions = new BoundedMap<
    string,
    BoundedMap<string, { number: number; logId: LogId }>
  >(SESSIONS);
  /** By session, node and number. */
  private readonly entries = new BoundedMap<string, LogId>(ENTRIES);

  /** Whether the entry can be where it is, next to those that were seen before. It is remembered then. */
  fits(
    sessionId: string,
    origin: Origin,
    { logId, stream }: { logId: LogId; stream: string | undefined },
    page: PageOrder | undefined,
  ): boolean {
    const { nodeId, number } = origin;
    if (number <= (page?.get(nodeId) ?? 0)) return false;
    if (!this.isBelowHighest(sessionId, origin, logId)) return false;
    if (stream === STANDALONE) {
      const key = `${sessionId} ${nodeId} ${number}`;
      const known = this.entries.get(key);
      if (known !== undefined && known !== logId) return false;
      this.entries.set(key, logId);
    }
    page?.set(nodeId, number);
    return true;
  }

  knows(sessionId: string): boolean {
    return this.sessions.has(sessionId);
  }

  /** Or is the highest. */
  isBelowHighest(sessionId: string, { nodeId, number }: Omit<Origin, 'purpose'>, logId: LogId) {
    let nodes = this.sessions.get(sessionId);
    if (nodes === undefined) {
      nodes = new BoundedMap(NODES);
      this.sessions.set(sessionId, nodes);
    }
    const highest = nodes.get(nodeId);
    if (highest === undefined || number > highest.number) {
      nodes.set(nodeId, { number, logId });
      return true;
    }
    const order = compareLogIds(logId, highest.logId);
    return number === highest.number ? order === 0 : order < 0;
  }
}
