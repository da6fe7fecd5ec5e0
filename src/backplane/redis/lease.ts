import type { Clock } from '../../protocol/clock.js';
import { jittered } from '../../protocol/clock.js';

export interface LeaseOptions {
  leaseMs: number;
  clock: Clock;
  /** Writes the lease and publishes `probe` to this node's own channel. */
  renew(probe: string): Promise<void>;
  /** A probe went out and did not come back: the subscriber hears nothing. */
  onDeaf(): void;
  /** The lease is held again, but had run out before: this node was silent for too long, and counted as dead. */
  onLapse(): void;
}

/**
 * Holds the node's lease, and finds out whether the node can be reached: each renewal sends a probe the way that other
 * nodes' messages come. After a failover a subscriber may answer pings and yet receive nothing.
 */
export class Lease {
  private cancel: (() => void) | undefined;
  private closed = false;
  private count = 0;
  private heard = 0;
  private sent = 0;
  private listening = false;
  /** The lease that was got last runs until then at least. */
  private heldUntil = 0;
  private failure: string | undefined = 'not connected yet';
  private readonly waiting = new Set<() => void>();

  constructor(private readonly options: LeaseOptions) {
    void this.renew();
  }

  trouble(): string | undefined {
    return this.failure;
  }

  /** Resolves when the lease is held and a probe has come back. */
  async held(): Promise<void> {
    while (this.failure !== undefined || !this.listening || this.heard === 0) {
      await new Promise<void>((resolve) => this.waiting.add(resolve));
    }
  }

  onProbe(probe: string): void {
    this.heard = Math.max(this.heard, Number(probe));
    this.wake();
  }

  /** The subscriber is there (again): probes that went out before do not count. Probes at once. */
  resubscribed(): void {
    this.heard = this.sent;
    this.listening = true;
    this.cancel?.();
    void this.renew();
  }

  close(): void {
    this.closed = true;
    this.cancel?.();
  }

  private async renew(): Promise<void> {
    if (this.listening && this.sent > this.heard) {
      this.listening = false;
      this.options.onDeaf();
    }
    this.count += 1;
    const probe = this.count;
    try {
      // From before it is asked for: the lease runs from when Redis gets to it, which is later.
      const asked = this.options.clock.now();
      await this.options.renew(String(probe));
      this.sent = Math.max(this.sent, probe);
      this.failure = undefined;
      const lapsed = asked > this.heldUntil && this.heldUntil > 0;
      this.heldUntil = asked + this.options.leaseMs;
      if (lapsed) this.options.onLapse();
    } catch (error) {
      this.failure = error instanceof Error ? error.message : String(error);
    }
    // Closed, or started again by `resubscribed`, while we waited for Redis: that run goes on, this one ends.
    if (this.closed || probe !== this.count) return;
    this.wake();
    const { clock, leaseMs } = this.options;
    this.cancel = clock.after(jittered(leaseMs / 3, clock), () => {
      void this.renew();
    });
  }

  private wake(): void {
    for (const resolve of this.waiting) resolve();
    this.waiting.clear();
  }
}
