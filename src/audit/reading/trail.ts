/** How an audit trail is read, wherever it is kept. */
import type { AuditOutcome, AuditRecord } from '../record.js';

/** Selects records. All conditions have to hold. */
export interface TrailQuery {
  session?: string | undefined;
  /** The whole principal. `null`: the sessions of anonymous callers. */
  principal?: string | null | undefined;
  tool?: string | undefined;
  method?: string | undefined;
  outcome?: AuditOutcome | undefined;
  /** Records from this time on, in milliseconds since the epoch. */
  from?: number | undefined;
  /** Records before this time. */
  until?: number | undefined;
}

/** Called with a place in the trail, such as `line 3 of 2026-11-30.0001.jsonl`. */
export type OnUnreadable = (where: string) => void;

/** An audit trail in a directory or in PostgreSQL, for reading and for erasing payloads. */
export interface Trail {
  /**
   * Reads the records that match: each once, those of a chain in their order, and days in their order. Memory does not grow
   * with the number of records. `onUnreadable` is called for what is there and is no record; the iteration goes on behind it.
   */
  records(query?: TrailQuery, onUnreadable?: OnUnreadable): AsyncIterable<AuditRecord>;
  /**
   * Erases the messages of all sessions of a principal (`null`: of anonymous callers), and the salts of their digests. The
   * records stay, marked `erased`, and the chains can still be verified. Returns how many records were changed. A second
   * call continues one that was interrupted.
   */
  erase(principal: string | null): Promise<number>;
  close(): Promise<void>;
}
