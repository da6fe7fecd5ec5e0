/** The role of a backplane that reads and ends stored sessions. Nodes have it, and so has an observer, who is no node. */
import type { LogId } from '../positions.js';
import type { Revision } from '../revision.js';
import type { LogEntry } from '../session-log.js';

/** Each call may reject with `backplane_unavailable`. */
export interface SessionRecords {
  /** Returns the record of a session, or `undefined` if there is no such session. Changes nothing. */
  load(sessionId: string): Promise<SessionRecord | undefined>;

  /**
   * Returns one page of the ids of all sessions, `count` at most, in the order of their characters. It has the ids after
   * `after`, or begins with the first one if `after` is `undefined`. `next` is the `after` of the next page; without it this
   * page is the last one. The page may name sessions that have just ended.
   */
  list(after: string | undefined, count: number): Promise<{ ids: string[]; next?: string }>;

  /**
   * Returns one page of a session's log after the place `after`: messages of both directions and notes, oldest first. A
   * page has `count` entries at most, and fewer if its messages are large, but one at least if there is one. So an empty
   * page is the end of the log. A session that does not exist has an empty log.
   */
  history(sessionId: string, after: LogId, count: number): Promise<LogEntry[]>;

  /**
   * Ends a session: removes all that is stored of it, and sends `gone` to each node that has a replica of it, executes one of
   * its streams or holds one of its connections. Returns `false`, and changes nothing, if there is no such session or
   * if it is another principal's. With {@link ANY_PRINCIPAL} the principal does not matter. No later step brings the session
   * back.
   */
  remove(sessionId: string, principal: string | typeof ANY_PRINCIPAL): Promise<boolean>;
}

/** Stands in place of a principal in calls of the operator, which no principal limits. */
export const ANY_PRINCIPAL = Symbol('any principal');

export interface SessionRecord {
  id: string;
  /** Changes with each change of what shapes a replica: `initialize`, `active`, `logLevel` and `subscriptions`. */
  revision: Revision;
  /** The params of the client's `initialize`, as JSON. */
  initialize: string;
  /** True if `initialize` could not be decoded, and is empty: no replica can be built from this record. */
  unreadable?: true;
  /** The negotiated protocol version. Empty if the client has not been answered an `initialize` yet. */
  protocolVersion: string;
  /** The client's identity, in the form in which the backplane compares it; see `Options.principal`. */
  principal: string;
  /** Proves that a node with the codec stored `principal`. Missing if the node that created the session had no codec. */
  seal?: string;
  /** Milliseconds since the epoch, by the clock of the backplane. */
  createdAt: number;
  /** When the client last sent a request or a message, or attached a connection. Milliseconds as in `createdAt`. */
  lastSeenAt: number;
  /** True if the client has sent `notifications/initialized`. */
  active: boolean;
  /** The last `logging/setLevel`, or `undefined` if the client has sent none. */
  logLevel: string | undefined;
  /** The URIs of the resources that the client has subscribed to. */
  subscriptions: string[];
  /** For each URI what proves that a node with the codec stored the subscription. Missing if there are none. */
  subscriptionSeals?: ReadonlyMap<string, string>;
  /** How many requests of the client have ended with an error. */
  errors: number;
  /** The one node that may run the session's requests. `undefined`: no node owns the session, or any node may. */
  owner: string | undefined;
}
