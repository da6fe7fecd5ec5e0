import type { AuditRecord } from '../../src/audit/record.js';
import type { LogEntry, LogId } from '../../src/backplane/backplane.js';
import { HORIZON_MS } from './plan.js';
import type { AuditSetting } from './plan.js';
import type { Random } from './random.js';
import type { Process, Scheduler } from './scheduler.js';

/** An entry of the log of a session. */
export interface Logged {
  sessionId: string;
  logId: LogId;
  /** What the entry is, for the texts of violations. */
  what: string;
  at: number;
  /** True if a failover has lost the entry. */
  lost: boolean;
}

/** A record, when the sink stored it for the first time. */
export interface Kept {
  record: AuditRecord;
  at: number;
}

/** What nodes have logged, and what the sink of their archivers has stored. */
export class AuditTrail {
  readonly logged: Logged[] = [];
  /** The records, in the order in which they were first delivered. */
  readonly kept: Kept[] = [];
  private readonly hashes = new Set<string>();
  /** The last entry of each session that was seen. */
  private last = new Map<string, LogId>();

  constructor(
    private readonly scheduler: Scheduler,
    private readonly random: Random,
    private readonly setting: AuditSetting,
    private readonly calm: () => boolean,
  ) {}

  /** The last entry of a session that was seen. */
  lastOf(sessionId: string): LogId | undefined {
    return this.last.get(sessionId);
  }

  /** Notes entries that are new in the log of a session. */
  log(sessionId: string, entries: LogEntry[]): void {
    for (const { logId, note, direction, stream } of entries) {
      const what = note?.kind ?? `${direction} ${stream ?? '-'}`;
      this.logged.push({ sessionId, logId, what, at: this.scheduler.elapsed, lost: false });
      this.last.set(sessionId, logId);
    }
  }

  /** Remembers what there is. The returned function notes that all entries since then are lost. */
  mark(): () => void {
    const count = this.logged.length;
    const last = new Map(this.last);
    return () => {
      for (const entry of this.logged.slice(count)) entry.lost = true;
      this.last = last;
    };
  }

  /**
   * Returns the sink of a process. A batch takes a while to arrive, and may then be stored whole, in part or not at all. What
   * has arrived is stored even if the process dies meanwhile.
   */
  sinkOf(process: Process): (records: readonly AuditRecord[]) => Promise<void> {
    const { scheduler, random, setting } = this;
    return (records) => {
      const fails = random.chance(setting.failSink) && !this.calm();
      const hangs = random.chance(setting.hangSink) && !this.calm();
      const share = random.pick([0, 0.5, 1]);
      const longest = HORIZON_MS + 3000 - scheduler.elapsed;
      const hangMs = hangs ? Math.max(0, Math.min(longest, random.int(100, setting.hangMs))) : 0;
      // It hangs before it stores the batch, or after that.
      const hangsFirst = random.chance(0.5);
      const thereMs = random.next() * setting.sinkMs + (hangsFirst ? hangMs : 0);
      const backMs = random.next() * setting.sinkMs + (hangsFirst ? 0 : hangMs);
      const stored = fails ? Math.floor(records.length * share) : records.length;
      return new Promise((resolve, reject) => {
        scheduler.after(thereMs, () => {
          this.store(process, records.slice(0, stored), records.length);
          const settle = (): void => (fails ? reject(new Error('the sink fails')) : resolve());
          scheduler.after(backMs, settle, process);
        });
      });
    };
  }

  private store({ name }: Process, records: readonly AuditRecord[], of: number): void {
    let fresh = 0;
    for (const record of records) {
      if (this.hashes.has(record.hash)) continue;
      this.hashes.add(record.hash);
      this.kept.push({ record, at: this.scheduler.elapsed });
      fresh += 1;
    }
    const to = records.at(-1)?.ordinal ?? '-';
    this.scheduler.note(
      `the sink stores ${records.length} of ${of} records of ${name} up to ${to}, ${fresh} of them are new`,
    );
  }
}
