import { BoundedMap } from '../../protocol/bounded-map.js';
import type { Origin } from './payloads.js';
import type { LogId } from '../positions.js';
import { compareLogIds, STANDALONE } from '../positions.js';

/** How many sessions are remembered, and how many writing nodes for each. */
const SESSIONS = 10_000;
const NODES = 32;
/** How many entries of standalone streams are remembered. Clients resume these streams again and again. */
const ENTRIES = 20_000;

/** The number of the last text by each node, within one page. */
export type PageOrder = Map<string, number>;

/**
 * Detects entries of a log that were moved or repeated. A node numbers the texts that it encodes, and makes its commits in a
 * session one after the other. So among one node's entries in a log, a later one has a higher number, and no number occurs
 * twice.
 *
 * It remembers only what this node has read or written itself. It cannot detect that an entry was removed.
 */
export class LogOrder {
  /** The entry with the highest number, by session and node. */
  private readonly sessions = new BoundedMap<
    string,
    BoundedMap<string, { number: number; logId: LogId }>
  >(SESSIONS);
  /** The places of entries, by session, node and number. */
  private readonly entries = new BoundedMap<string, LogId>(ENTRIES);

  /** True if the entry can be at its place, given those that were seen before. It is remembered then. */
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

  /** True if the entry is at its place relative to the node's highest number, or has the highest number. */
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
