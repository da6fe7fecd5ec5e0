/** The role of a backplane that reads and ends stored sessions. Nodes use it, and so do observers, which are no nodes. */
import type { LogId } from '../positions.js';
import type { Revision } from '../revision.js';
import type { LogEntry } from '../session-log.js';

/** Each call may reject with `backplane_unavailable`. */
export interface SessionRecords {
  /** Returns the record of a session, or `undefined` if there is no such session. Changes nothing. */
  load(sessionId: string): Promise<SessionRecord | undefined>;

  /**
   * Returns one page of the ids of all sessions: at most `count` ids after `after`, in the order of their characters. If `after`
   * is `undefined`, the page begins with the first id. `next` is the `after` of the next page. Without `next`, this page is the
   * last one. The page may name sessions that have just ended.
   */
  list(after: string | undefined, count: number): Promise<{ ids: string[]; next?: string }>;

  /**
   * Returns one page of a session's log after the place `after`: messages of both directions and notes, oldest first. A page
   * has at most `count` entries, and fewer if the messages are large. An empty page means that the log has no more entries. A
   * session that does not exist has an empty log.
   */
  history(sessionId: string, after: LogId, count: number): Promise<LogEntry[]>;

  /**
   * Ends a session. It removes everything that is stored of the session, and sends `gone` to each node that has a replica,
   * executes one of its streams or holds one of its connections. Returns `false`, and changes nothing, if there is no such
   * session or if it belongs to another principal. With {@link ANY_PRINCIPAL} the principal does not matter. No later step
   * brings the session back.
   */
  remove(sessionId: string, principal: string | typeof ANY_PRINCIPAL): Promise<boolean>;
}

/**
 * Takes the place of a principal in calls of the operator, who may use the sessions of all principals. It is the same symbol
 * in each copy of this package.
 */
export const ANY_PRINCIPAL: unique symbol = Symbol.for('mcp-anynode.any principal');

export interface SessionRecord {
  id: string;
  /** The revision of the session's shape. It changes with `initialize`, `active`, `logLevel` and `subscriptions`. */
  revision: Revision;
  /** The params of the client's `initialize`, as JSON. */
  initialize: string;
  /** True if `initialize` could not be decoded. It is empty then, and no replica can be built from this record. */
  unreadable?: true;
  /** The negotiated protocol version. Empty if no `initialize` of the client was answered yet. */
  protocolVersion: string;
  /** The identity of the client, as text. See the option `principal`. */
  principal: string;
  /** Proves that a node with the codec stored `principal`. Missing if the node that created the session had no codec. */
  seal?: string;
  /** Milliseconds since the epoch, by the clock of the backplane. */
  createdAt: number;
  /** When the client last sent a request or a message, or attached a connection. Milliseconds as in `createdAt`. */
  lastSeenAt: number;
  /** True if the client has sent `notifications/initialized`. */
  active: boolean;
  /** The level of the last `logging/setLevel`, or `undefined` if the client has sent none. */
  logLevel: string | undefined;
  /** The URIs of the resources that the client has subscribed to. */
  subscriptions: string[];
  /** For each URI, the proof that a node with the codec stored the subscription. Missing if there are no such proofs. */
  subscriptionSeals?: ReadonlyMap<string, string>;
  /** How many requests of the client have ended with an error. */
  errors: number;
  /** The only node that may run the session's requests. `undefined`: no node owns the session, or any node may run them. */
  owner: string | undefined;
}
