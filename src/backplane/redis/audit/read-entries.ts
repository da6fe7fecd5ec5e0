import type { OutboxEntry } from '../../roles/audit-outboxes.js';

/** The bytes that an entry counts besides its message: `ENTRY_BYTES` in scripts/includes/log-entry.lua. */
const ENTRY_BYTES = 100;
/** If more entries of an outbox are read before an acknowledgment, they are not remembered. */
const MOST_ENTRIES = 20_000;

/** What acknowledge.lua has to know of a session: how many bytes of it are removed, and the place of its last end or `''`. */
export type Removed = [sessionId: string, bytes: number, end: string];

export interface Read {
  place: string;
  sessionId: string;
  bytes: number;
  hasEnd: boolean;
}

/**
 * Remembers the size of the entries that were read, so that their acknowledgment need not read them again. It remembers those
 * of one archiver and one checkpoint, from the first entry of the outbox on. The scripts of other archivers, and those after
 * another checkpoint, are refused, so the entries are the same when they are acknowledged.
 */
export class ReadEntries {
  private readonly outboxes = new Map<string, { key: string; entries: Read[] }>();

  /** Adds a page. `key` names the archiver and the checkpoint, and `after` the place behind which the page begins. */
  add(
    outbox: string,
    key: string,
    after: string | undefined,
    page: Iterable<[string, OutboxEntry]>,
  ) {
    if (after === undefined) this.outboxes.set(outbox, { key, entries: [] });
    const known = this.outboxes.get(outbox);
    if (known === undefined) return;
    const { entries } = known;
    if (known.key !== key || entries.at(-1)?.place !== after || entries.length > MOST_ENTRIES) {
      this.outboxes.delete(outbox);
      return;
    }
    for (const [place, { sessionId, entry, ended, gap }] of page) {
      const hasMessage = ended === undefined && gap === undefined;
      const bytes = ENTRY_BYTES + (hasMessage ? Buffer.byteLength(entry.message ?? '') : 0);
      entries.push({ place, sessionId, bytes, hasEnd: ended !== undefined });
    }
    if (entries.length === 0) this.outboxes.delete(outbox);
  }

  /**
   * Returns what an acknowledgment removes, by session. `undefined`: not all of it was read here. The entries after it are
   * forgotten, unless `keep` is called.
   */
  take(
    outbox: string,
    key: string,
    upTo: string,
  ): { removed: Removed[]; rest: Read[] } | undefined {
    const known = this.outboxes.get(outbox);
    this.outboxes.delete(outbox);
    if (known?.key !== key) return undefined;
    const last = known.entries.findIndex(({ place }) => place === upTo);
    if (last < 0) return undefined;
    const removed = new Map<string, Removed>();
    for (const { place, sessionId, bytes, hasEnd } of known.entries.slice(0, last + 1)) {
      const [, before = 0, end = ''] = removed.get(sessionId) ?? [];
      removed.set(sessionId, [sessionId, before + bytes, hasEnd ? place : end]);
    }
    return { removed: [...removed.values()], rest: known.entries.slice(last + 1) };
  }

  /** Remembers the entries after those that were acknowledged. `key` names the new checkpoint. */
  keep(outbox: string, key: string, rest: Read[]): void {
    if (rest.length > 0) this.outboxes.set(outbox, { key, entries: rest });
  }
}
