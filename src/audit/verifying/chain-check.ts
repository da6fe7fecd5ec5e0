import type { AuditRecord } from '../record.js';

/** How many of the last hashes of a chain are remembered, to recognize a branch. An archiver delivers at most two batches at a time. */
const REMEMBERED = 4096;
const MOST_ENDS = 8;

/** The outcome of checking one record. */
export interface Checked {
  problem?: { kind: 'missing' | 'changed' | 'after_end'; text: string; seq: number };
  /** True if another record follows the same one. */
  isBranch?: boolean;
}

/** The last record of a chain, or of one of its branches. */
interface End {
  seq: number;
  hash: string;
  /** True if it is the end of the session. */
  isLast: boolean;
}

/** Checks that the records of one chain follow each other. */
export class ChainCheck {
  hasEnded = false;
  /** The ends of the chain and of its branches, the latest last. */
  private ends: End[] = [];
  private readonly recent = new Map<string, number>();

  /** True if the chain and all its branches have ended. */
  get isSettled(): boolean {
    return this.ends.length > 0 && this.ends.every(({ isLast }) => isLast);
  }

  /** How many hashes are remembered. */
  get size(): number {
    return this.recent.size;
  }

  add({ seq, hash, previous, type }: AuditRecord): Checked {
    // The same record was delivered twice.
    if (this.recent.get(hash) === seq) return {};
    const checked = this.place(seq, previous);
    const isLast = type === 'session.ended';
    if (isLast) this.hasEnded = true;
    const at = this.ends.findIndex((end) => end.hash === previous);
    if (at >= 0) this.ends.splice(at, 1);
    else if (checked.isBranch !== true) this.ends = [];
    this.ends.push({ seq, hash, isLast });
    if (this.ends.length > MOST_ENDS) this.ends.shift();
    this.remember(hash, seq);
    return checked;
  }

  /** Finds the place of a record behind those that are known. */
  private place(seq: number, previous: string): Checked {
    if (this.ends.length === 0) return seq === 1 && previous === '' ? {} : missing(1, seq);
    const before = this.ends.find((end) => end.hash === previous && end.seq === seq - 1);
    if (before?.isLast === true) {
      return { problem: { kind: 'after_end', text: 'follows the end of its session', seq } };
    }
    if (before !== undefined) return {};
    if (seq === 1 && previous === '') return { isBranch: true };
    if (this.recent.get(previous) === seq - 1) return { isBranch: true };
    const highest = Math.max(...this.ends.map((end) => end.seq));
    if (seq > highest + 1) return missing(highest + 1, seq);
    return { problem: { kind: 'changed', text: 'does not follow the record before it', seq } };
  }

  private remember(hash: string, seq: number): void {
    this.recent.set(hash, seq);
    if (this.recent.size <= REMEMBERED) return;
    for (const oldest of this.recent.keys()) {
      this.recent.delete(oldest);
      break;
    }
  }
}

/** Records from `from` on are missing before the record `seq`. If none can be, the record itself was changed. */
function missing(from: number, seq: number): Checked {
  if (seq <= from) {
    return { problem: { kind: 'changed', text: 'does not follow the record before it', seq } };
  }
  const text = seq - from === 1 ? 'is missing' : `and the ${seq - from - 1} after it are missing`;
  return { problem: { kind: 'missing', text, seq: from } };
}
