import type { JoinOptions, LogEntry, LogId, Note, OutboxEntry, StreamEvent } from '../backplane.js';
import { compareLogIds, RESUMED_EVERY_MS } from '../backplane.js';

/** An entry of a session's log: the fields of {@link LogEntry}, and those that streams need. */
export interface StoredEntry extends LogEntry {
  /** The number within its stream. 0 for messages of the client and for notes. */
  n: number;
  end: boolean;
  asker: string | undefined;
  /** What the copy of the entry in the outbox says besides. */
  audit?: Pick<OutboxEntry, 'created' | 'initialize'>;
}

/** The bytes that an entry counts besides its message. */
const ENTRY_BYTES = 100;
const SLACK_BYTES = 1024 * 1024;
/** How many entries a page may look at. The same as with Redis (LOOK_ENTRIES in log-scan.lua). */
export const LOOK_ENTRIES = 256;

/** The log of a session, with messages of both directions. Its ids grow even if the clock does not. */
export class MemoryLog {
  private readonly entries: StoredEntry[] = [];
  private lastMs = 0;
  private lastCounter = 0;
  private bytes = 0;
  /** The time when the last message was added. */
  private usedAt = 0;
  /** The time of the last note that a stream was resumed, and how many such notes were skipped since. */
  private resumed = { at: 0, skipped: 0 };

  /** `copy` is called with each entry that is logged. */
  constructor(
    private readonly retention: JoinOptions['retention'],
    private readonly copy: (entry: StoredEntry) => void = () => undefined,
  ) {}

  /** Makes sure that new entries come after this place. */
  goOnAfter(logId: LogId | undefined): void {
    if (logId === undefined) return;
    if (compareLogIds(logId, `${this.lastMs}-${this.lastCounter}`) <= 0) return;
    const [ms = 0, counter = 0] = logId.split('-').map(Number);
    this.lastMs = ms;
    this.lastCounter = counter;
  }

  append(now: number, entry: Omit<StoredEntry, 'logId' | 'at'>): LogId {
    const logId = this.push(now, entry);
    this.usedAt = this.lastMs;
    this.trim(now);
    return logId;
  }

  /**
   * Notes that a stream was resumed. It trims nothing, and does not extend the time for which the log is kept. See
   * attach.lua.
   */
  noteResumed(now: number, nodeId: string, stream: string): void {
    if (this.entries.length === 0) return;
    const { at, skipped } = this.resumed;
    if (now - at < RESUMED_EVERY_MS) {
      this.resumed.skipped += 1;
      return;
    }
    this.resumed = { at: now, skipped: 0 };
    const note = { kind: 'stream.resumed' as const, nodeId, ...(skipped > 0 && { skipped }) };
    this.push(now, noteEntry(note, stream));
  }

  private push(now: number, entry: Omit<StoredEntry, 'logId' | 'at'>): LogId {
    if (now > this.lastMs) {
      this.lastMs = now;
      this.lastCounter = 0;
    } else {
      this.lastCounter += 1;
    }
    const logId = `${this.lastMs}-${this.lastCounter}`;
    const stored = { logId, at: this.lastMs, ...entry };
    this.entries.push(stored);
    this.bytes += sizeOf(entry);
    this.copy(stored);
    return logId;
  }

  at(logId: LogId): StoredEntry | undefined {
    const entry = this.entries[this.indexAfter(logId) - 1];
    return entry?.logId === logId ? entry : undefined;
  }

  after(logId: LogId, count: number): StoredEntry[] {
    const from = this.indexAfter(logId);
    return this.entries.slice(from, from + count);
  }

  /**
   * Reads messages of one stream after `logId`. It stops after `maxBytes` of them, at the end of the stream, or after `look`
   * entries of any kind. `newest` is the last message's place, if it is known.
   */
  ofStream(stream: string, logId: LogId, maxBytes: number, newest?: LogId, look = Infinity) {
    const events: StreamEvent[] = [];
    let scanned = logId;
    let bytes = 0;
    if (newest !== undefined && compareLogIds(logId, newest) >= 0) {
      return { events, scanned, more: false };
    }
    const from = this.indexAfter(logId);
    for (let index = from; index < this.entries.length; index += 1) {
      const entry = this.entries[index];
      if (entry === undefined) break;
      scanned = entry.logId;
      if (entry.n > 0 && entry.stream === stream) {
        events.push(toEvent(entry));
        bytes += Buffer.byteLength(entry.message ?? '');
        if (entry.end) break;
        if (bytes >= maxBytes) return { events, scanned, more: true };
      }
      if (index + 1 - from >= look) return { events, scanned, more: true };
    }
    return { events, scanned, more: false };
  }

  /** Removes all entries if nothing was added for `maxAgeMs`. */
  expire(now: number): void {
    if (this.usedAt + this.retention.maxAgeMs > now) return;
    this.entries.length = 0;
    this.bytes = 0;
  }

  private trim(now: number): void {
    let drop = Math.max(0, this.entries.length - this.retention.maxEvents);
    const oldest = now - this.retention.maxAgeMs;
    for (let entry = this.entries[drop]; entry !== undefined && entry.at < oldest;) {
      drop += 1;
      entry = this.entries[drop];
    }
    this.drop(drop);
    const { maxBytes = Infinity } = this.retention;
    if (this.bytes <= maxBytes) return;
    // As with Redis, remove more than is needed, so that this is rare. The newest entry always stays.
    const most = maxBytes - Math.min(maxBytes / 8, SLACK_BYTES);
    drop = 0;
    for (let bytes = this.bytes; bytes > most && drop < this.entries.length - 1; drop += 1) {
      bytes -= sizeOf(this.entries[drop]);
    }
    this.drop(drop);
  }

  private drop(count: number): void {
    if (count === 0) return;
    for (const entry of this.entries.splice(0, count)) this.bytes -= sizeOf(entry);
  }

  /** Returns the index of the first entry after `logId`. */
  private indexAfter(logId: LogId): number {
    let low = 0;
    let high = this.entries.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      const entry = this.entries[middle];
      if (entry !== undefined && compareLogIds(entry.logId, logId) <= 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** Makes the entry of a message of the client. */
export function inboundEntry(message: string, stream: string | undefined) {
  return { direction: 'in' as const, stream, message, n: 0, end: false, asker: undefined };
}

/** Makes the entry of a note, which no stream shows. */
export function noteEntry(note: Note, stream?: string): Omit<StoredEntry, 'logId' | 'at'> {
  const nothing = { message: undefined, asker: undefined, n: 0, end: false };
  return { ...nothing, direction: 'in', stream, note };
}

function sizeOf(entry: Pick<StoredEntry, 'message'> | undefined): number {
  return ENTRY_BYTES + messageBytes(entry);
}

/** Returns how many bytes the message of an entry has. */
export function messageBytes(entry: Pick<LogEntry, 'message'> | undefined): number {
  return Buffer.byteLength(entry?.message ?? '');
}

function toEvent(entry: StoredEntry): StreamEvent {
  return {
    position: { n: entry.n, logId: entry.logId },
    message: entry.message,
    end: entry.end,
    ...(entry.asker !== undefined && { asker: entry.asker }),
  };
}
