/**
 * The role of a backplane that keeps what is to go into the audit trail.
 *
 * With the option `audit`, each step that adds an entry to the log of a session also puts a copy into an outbox, in the same
 * atomic step. The copy stays until an archiver has delivered it, however long that takes: the log may be trimmed meanwhile,
 * and the session may end. A backplane has one outbox. A Redis Cluster has one for each slot with sessions, because a step can
 * write to one slot only. All entries of a session are in the same outbox, in the order of its log.
 *
 * One archiver at a time reads the outboxes. It holds a lease, and claims each outbox. An outbox accepts acknowledgments of
 * the archiver that claimed it last, so an archiver that was paused past its lease does no harm.
 */
import type { LogEntry } from '../session-log.js';

/** Bounds of what may wait in the outboxes, and what happens when a bound is reached. */
export interface OutboxLimits {
  /**
   * `refuse`: what begins something is refused. `create` rejects with `audit_full`, and the operations `open` and `receive` have
   * the result `full`. What goes on with something that has begun, such as the answer to a call, is stored above the bound. A
   * commit finds the outbox full for all of its operations, or for none.
   * `drop`: the step is carried out, and its entries are left out of the outbox. The outbox has one entry with a `gap` in
   * their place.
   */
  whenFull: 'refuse' | 'drop';
  /** How many bytes of one session may wait. Each entry counts 100 and the bytes of its message. */
  maxSessionBytes: number;
  /** How many bytes may wait in all, counted in the same way. In a Redis Cluster: in one slot. */
  maxTotalBytes: number;
}

/** Each call may reject with `backplane_unavailable`. */
export interface AuditOutboxes {
  /** Returns the names of all outboxes that may have entries or chains. */
  outboxes(): Promise<string[]>;

  /**
   * Takes the archiver's lease, or renews it. Returns false if another archiver holds it. `archiver` is an id that is new at
   * each start.
   */
  lease(archiver: string, ms: number): Promise<boolean>;

  /** Gives the lease up, if this archiver holds it. */
  release(archiver: string): Promise<void>;

  /**
   * Makes this archiver the only one that the outbox obeys, and returns the outbox's checkpoint.
   */
  claim(outbox: string, archiver: string): Promise<OutboxCheckpoint>;

  /**
   * Reads the first entries of an outbox, or those after the entry `after`. A page ends with the entry that makes it
   * `maxBytes` long or longer, and has at most `maxEntries`. Changes nothing.
   */
  readOutbox(outbox: string, page: OutboxPage): Promise<OutboxReply>;

  /** Returns what is stored of the chains of these sessions, in their order. `undefined`: nothing. Changes nothing. */
  chains(outbox: string, sessionIds: string[]): Promise<(string | undefined)[]>;

  /**
   * Stores the state of chains that begin, before any record of them is delivered. A session that already has a state keeps
   * it. Returns `lost`, and changes nothing, if another archiver has claimed the outbox.
   */
  beginChains(
    outbox: string,
    archiver: string,
    chains: ReadonlyMap<string, string>,
  ): Promise<'ok' | 'lost'>;

  /**
   * Removes the entries up to and with `upTo`, which have been delivered, and stores the new state of their chains, in one
   * atomic step. `undefined` as a state removes it: the chain has ended. If entries had been left out of the outbox because
   * it was full (`drop`), and the outbox has room now, adds an entry with the gap for each of their sessions.
   *
   * Returns the new checkpoint. `changed`: the outbox is not at the checkpoint `mark`, because a failover has lost the last
   * acknowledgment, or this step is a repeat whose first reply was lost. Nothing is changed then.
   */
  acknowledge(outbox: string, delivered: Delivered): Promise<OutboxCheckpoint | 'changed' | 'lost'>;

  /**
   * Looks for sessions that have expired, among at most about `count` of those with a chain, beginning at the place `from`
   * (left out: at the first). For each of them it adds the entry with `ended: 'expired'` to the outbox. `next` is the `from` of
   * the next call. Without it, all chains were looked at.
   */
  endExpired(outbox: string, count: number, from?: string): Promise<{ next?: string }>;

  /** Returns how much waits in all outboxes, and since when, in milliseconds since the epoch by the backplane's clock. */
  waiting(): Promise<{ bytes: number; entries: number; oldest?: number }>;
}

/** Where the archivers of an outbox have arrived. */
export interface OutboxCheckpoint {
  /** Names the last acknowledgment. No two acknowledgments have the same mark, not even after a failover. */
  mark: string;
  /** How many records were made from this outbox so far. */
  ordinal: number;
}

export interface OutboxPage {
  archiver: string;
  /** The mark of the checkpoint that the archiver goes on from. */
  mark: string;
  after?: string | undefined;
  maxEntries: number;
  maxBytes: number;
}

export type OutboxReply =
  /** Another archiver has claimed the outbox. */
  | { status: 'lost' }
  /** The outbox is at another checkpoint, because a failover has lost the last acknowledgment. */
  | { status: 'changed' }
  | { status: 'ok'; entries: OutboxEntry[] };

/** One entry of an outbox. */
export interface OutboxEntry {
  /** The place in the outbox. */
  id: string;
  sessionId: string;
  /** The entry of the session's log. With `ended` and `gap`: only `logId` and `at` have a meaning. */
  entry: LogEntry;
  /**
   * Set with the note `session.created`: whose session it is. With a codec, `principal` is left out if its seal does not prove
   * that a node has stored it.
   */
  created?: { principal?: string; seal?: string };
  /**
   * The params of the client's `initialize`, as JSON, as the record of the session stores them. Set with the first entry after
   * which the record has them. With a codec, a joined backplane returns them decoded. `''` if they cannot be decoded.
   */
  initialize?: string;
  /** With a codec: the message as it is stored, if it cannot be decoded. */
  stored?: string;
  /** The session ended: by a DELETE of its client, by the operator, or because it was not used for long enough. */
  ended?: 'deleted' | 'removed' | 'expired';
  /** This many entries of the session are missing here, because the outbox was full. `from` is the time of the first. */
  gap?: { entries: number; from: number };
}

export interface Delivered {
  archiver: string;
  /** The mark of the checkpoint before. */
  mark: string;
  upTo: string;
  chains: ReadonlyMap<string, string | undefined>;
  /** How many records were made from this outbox, these included. */
  ordinal: number;
}
