import type { AuditOutboxes } from '../../backplane/roles/audit-outboxes.js';
import type { Clock } from '../../protocol/timing/clock.js';

export interface LeaseOptions {
  outboxes: Pick<AuditOutboxes, 'lease' | 'release'>;
  /** The id of the archiver. */
  archiver: string;
  leaseMs: number;
  clock: Clock;
}

/**
 * The lease by which one archiver works at a time. It only keeps archivers from doing the same work. An archiver that was
 * paused past its lease does no harm, because another one has claimed the outboxes.
 */
export class ArchiverLease {
  private heldUntil = -Infinity;
  private cancelTimer: (() => void) | undefined;
  private isKept = false;

  constructor(private readonly options: LeaseOptions) {}

  isHeld(): boolean {
    return this.options.clock.elapsed() < this.heldUntil;
  }

  /** Takes the lease, and renews it after a third of its time until `stop` is called. Returns false if another holds it. */
  async take(): Promise<boolean> {
    this.isKept = true;
    const held = await this.ask();
    if (held) this.renewLater();
    return held;
  }

  /** Renews the lease now, because an outbox was lost. */
  check(): void {
    if (!this.isKept) return;
    this.cancelTimer?.();
    void this.renew();
  }

  stop(): void {
    this.isKept = false;
    this.heldUntil = -Infinity;
    this.cancelTimer?.();
  }

  /** Gives the lease up. Rejects with `backplane_unavailable`. */
  async release(): Promise<void> {
    this.stop();
    await this.options.outboxes.release(this.options.archiver);
  }

  private async ask(): Promise<boolean> {
    const { outboxes, archiver, leaseMs, clock } = this.options;
    const askedAt = clock.elapsed();
    const held = await outboxes.lease(archiver, leaseMs);
    // The archiver may have given the lease up meanwhile.
    this.heldUntil = held && this.isKept ? askedAt + leaseMs : -Infinity;
    return held && this.isKept;
  }

  private renewLater(): void {
    this.cancelTimer?.();
    this.cancelTimer = this.options.clock.after(this.options.leaseMs / 3, () => void this.renew());
  }

  private async renew(): Promise<void> {
    try {
      if (!(await this.ask())) return;
    } catch {
      // The lease runs out by itself, unless the backplane comes back before.
    }
    if (this.isKept && this.isHeld()) this.renewLater();
  }
}
