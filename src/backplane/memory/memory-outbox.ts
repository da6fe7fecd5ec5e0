import { compareLogIds } from '../positions.js';
import type {
  AuditOutboxes,
  Delivered,
  OutboxCheckpoint,
  OutboxEntry,
  OutboxLimits,
  OutboxPage,
  OutboxReply,
} from '../roles/audit-outboxes.js';
import { messageBytes } from './memory-log.js';
import type { StoredEntry } from './memory-log.js';

/** The name of the only outbox. */
const NAME = 'all';
/** The bytes that an entry counts besides its message. */
const ENTRY_BYTES = 100;

/** What a session has in the outbox. */
interface Waiting {
  bytes: number;
  /** How many entries were left out since its last entry, and when the first of them happened. */
  gap?: { entries: number; from: number };
  /** The place of the entry that ends the session, while that waits and no session of the same id was created since. */
  endId?: string;
}

/** The outbox of all sessions of a memory backplane. Each method is synchronous and therefore atomic. */
export class MemoryOutbox {
  /** The bounds of the node whose step is being carried out. `undefined`: the node copies nothing. */
  limits: OutboxLimits | undefined;
  /** The bounds of the last step that has left an entry out. */
  private exceeded: OutboxLimits | undefined;
  readonly chains = new Map<string, string>();
  private entries: OutboxEntry[] = [];
  private readonly sessions = new Map<string, Waiting>();
  private bytes = 0;
  private lastId = 0;
  private acknowledgments = 0;
  private checkpoint: OutboxCheckpoint = { mark: '', ordinal: 0 };
  private claimedBy: string | undefined;
  private holder: { archiver: string; until: number } | undefined;

  /** True if the outbox refuses a step that begins something in this session. */
  refuses(sessionId: string): boolean {
    const { limits } = this;
    if (limits?.whenFull !== 'refuse') return false;
    const ofSession = this.sessions.get(sessionId)?.bytes ?? 0;
    return this.bytes >= limits.maxTotalBytes || ofSession >= limits.maxSessionBytes;
  }

  /** Adds the copy of an entry of a session's log, if the node has the option. */
  copy(sessionId: string, { n: _, end: __, audit, ...entry }: StoredEntry): void {
    const { limits } = this;
    if (limits === undefined) return;
    const waiting = this.waitingOf(sessionId);
    const size = ENTRY_BYTES + messageBytes(entry);
    if (limits.whenFull === 'drop') {
      const needed = size + (waiting.gap === undefined ? 0 : ENTRY_BYTES);
      const isFull =
        this.bytes + needed > limits.maxTotalBytes ||
        waiting.bytes + needed > limits.maxSessionBytes;
      if (isFull) {
        this.exceeded = limits;
        waiting.gap ??= { entries: 0, from: entry.at };
        waiting.gap.entries += 1;
        // If nothing waits, no acknowledgment comes that would tell of the gap.
        if (this.bytes === 0 && this.hasRoomFor(waiting)) this.addGap(sessionId, waiting);
        return;
      }
    }
    this.addGap(sessionId, waiting);
    this.add({ sessionId, entry, ...audit }, waiting, size);
  }

  /** Called before the first entry of a new session. If the outbox lacks the end of a former session of the id, adds it. */
  begin(sessionId: string, now: number): void {
    if (this.limits === undefined) return;
    this.endUnlessEnded(sessionId, now);
    const waiting = this.sessions.get(sessionId);
    if (waiting !== undefined) delete waiting.endId;
  }

  /** Adds the end of a session that existed until now, if the outbox has anything of the session. */
  end(sessionId: string, ended: NonNullable<OutboxEntry['ended']>, now: number): void {
    if (!this.sessions.has(sessionId) && !this.chains.has(sessionId)) return;
    const waiting = this.waitingOf(sessionId);
    this.addGap(sessionId, waiting);
    waiting.endId = this.add({ sessionId, entry: bareEntry(now), ended }, waiting, ENTRY_BYTES);
  }

  /** Adds the end of a session that does not exist any more, unless its end waits already. */
  endUnlessEnded(sessionId: string, now: number): void {
    if (this.sessions.get(sessionId)?.endId === undefined) this.end(sessionId, 'expired', now);
  }

  lease(archiver: string, ms: number, now: number): boolean {
    const { holder } = this;
    if (holder !== undefined && holder.archiver !== archiver && holder.until > now) return false;
    this.holder = { archiver, until: now + ms };
    return true;
  }

  release(archiver: string): void {
    if (this.holder?.archiver === archiver) this.holder = undefined;
  }

  claim(archiver: string): OutboxCheckpoint {
    this.claimedBy = archiver;
    return this.checkpoint;
  }

  read({ archiver, mark, after, maxEntries, maxBytes }: OutboxPage): OutboxReply {
    if (archiver !== this.claimedBy) return { status: 'lost' };
    if (mark !== this.checkpoint.mark) return { status: 'changed' };
    const entries: OutboxEntry[] = [];
    let bytes = 0;
    const from = after === undefined ? 0 : this.indexAfter(after);
    for (const entry of this.entries.slice(from, from + maxEntries)) {
      entries.push(entry);
      bytes += sizeOf(entry);
      if (bytes >= maxBytes) break;
    }
    return { status: 'ok', entries };
  }

  beginChains(archiver: string, chains: ReadonlyMap<string, string>): 'ok' | 'lost' {
    if (archiver !== this.claimedBy) return 'lost';
    for (const [sessionId, state] of chains) {
      if (!this.chains.has(sessionId)) this.chains.set(sessionId, state);
    }
    return 'ok';
  }

  acknowledge(delivered: Delivered): OutboxCheckpoint | 'changed' | 'lost' {
    const { archiver, mark, upTo, chains, ordinal } = delivered;
    if (archiver !== this.claimedBy) return 'lost';
    if (mark !== this.checkpoint.mark) return 'changed';
    for (const entry of this.entries.splice(0, this.indexAfter(upTo))) this.drop(entry);
    for (const [sessionId, state] of chains) {
      if (state === undefined) this.chains.delete(sessionId);
      else this.chains.set(sessionId, state);
    }
    this.acknowledgments += 1;
    this.checkpoint = { mark: `${archiver}:${this.acknowledgments}`, ordinal };
    for (const [sessionId, waiting] of this.sessions) {
      if (waiting.gap !== undefined && this.hasRoomFor(waiting)) this.addGap(sessionId, waiting);
    }
    return this.checkpoint;
  }

  /** Returns the sessions with a chain whose end is not in the outbox. */
  openChains(): string[] {
    return [...this.chains.keys()].filter((id) => this.sessions.get(id)?.endId === undefined);
  }

  waiting(): { bytes: number; entries: number; oldest?: number } {
    const [first] = this.entries;
    return {
      ...{ bytes: this.bytes, entries: this.entries.length },
      ...(first !== undefined && { oldest: first.entry.at }),
    };
  }

  private waitingOf(sessionId: string): Waiting {
    let waiting = this.sessions.get(sessionId);
    if (waiting === undefined) {
      waiting = { bytes: 0 };
      this.sessions.set(sessionId, waiting);
    }
    return waiting;
  }

  private hasRoomFor({ bytes }: Waiting): boolean {
    const { maxSessionBytes = Infinity, maxTotalBytes = Infinity } = this.exceeded ?? {};
    return this.bytes + ENTRY_BYTES <= maxTotalBytes && bytes + ENTRY_BYTES <= maxSessionBytes;
  }

  private addGap(sessionId: string, waiting: Waiting): void {
    const { gap } = waiting;
    if (gap === undefined) return;
    delete waiting.gap;
    this.add({ sessionId, entry: bareEntry(gap.from), gap }, waiting, ENTRY_BYTES);
  }

  private add(entry: Omit<OutboxEntry, 'id'>, waiting: Waiting, size: number): string {
    this.lastId += 1;
    const id = `${this.lastId}-0`;
    this.entries.push({ id, ...entry });
    this.bytes += size;
    waiting.bytes += size;
    return id;
  }

  private drop(entry: OutboxEntry): void {
    const { id, sessionId } = entry;
    const size = sizeOf(entry);
    this.bytes -= size;
    const waiting = this.sessions.get(sessionId);
    if (waiting === undefined) return;
    waiting.bytes -= size;
    if (waiting.endId === id) delete waiting.endId;
    if (waiting.bytes === 0 && waiting.gap === undefined) this.sessions.delete(sessionId);
  }

  /** Returns the index of the first entry after the place `id`. */
  private indexAfter(id: string): number {
    const [first] = this.entries;
    if (first === undefined) return 0;
    const index = numberOf(id) - numberOf(first.id) + 1;
    return Math.min(Math.max(0, index), this.entries.length);
  }
}

/** The role of the outboxes for one node. `step` carries out a step of that node. */
export function memoryOutboxes(
  outbox: MemoryOutbox,
  step: <T>(run: (now: number) => T) => Promise<T>,
  isThere: (sessionId: string) => boolean,
): AuditOutboxes {
  return {
    outboxes: () => step(() => [NAME]),
    lease: (archiver, ms) => step((now) => outbox.lease(archiver, ms, now)),
    release: (archiver) => step(() => outbox.release(archiver)),
    claim: (_, archiver) => step(() => outbox.claim(archiver)),
    readOutbox: (_, page) => step(() => outbox.read(page)),
    chains: (_, sessionIds) => step(() => sessionIds.map((id) => outbox.chains.get(id))),
    beginChains: (_, archiver, chains) => step(() => outbox.beginChains(archiver, chains)),
    acknowledge: (_, delivered) => step(() => outbox.acknowledge(delivered)),
    endExpired: (_, count, from) =>
      step((now) => {
        const ids = outbox.openChains().sort();
        const rest = from === undefined ? ids : ids.filter((id) => id > from);
        const some = rest.slice(0, count);
        for (const id of some) if (!isThere(id)) outbox.endUnlessEnded(id, now);
        const next = rest.length > count ? some.at(-1) : undefined;
        return next === undefined ? {} : { next };
      }),
    waiting: () => step(() => outbox.waiting()),
  };
}

function numberOf(id: string): number {
  return compareLogIds(id, '0-0');
}

function sizeOf({ entry, ended, gap }: OutboxEntry): number {
  return ENTRY_BYTES + (ended === undefined && gap === undefined ? messageBytes(entry) : 0);
}

/** Makes the entry of an end or a gap, which have only a time. */
function bareEntry(at: number): OutboxEntry['entry'] {
  const nothing = { direction: 'in' as const, stream: undefined, message: undefined };
  return { logId: `${at}-0`, at, ...nothing, asker: undefined };
}
