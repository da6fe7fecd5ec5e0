import type { Clock } from '../../../protocol/clock.js';
import { jittered } from '../../../protocol/clock.js';

export interface LeaseOptions {
  leaseMs: number;
  clock: Clock;
  /**
   * Writes the lease and publishes `probe` to this node's own channel, in one or several ways; calls `onProbeSent` for
   * each. `true`: the lease was not there any more.
   */
  renew(probe: string): Promise<boolean>;
  /** A probe went out and did not come back: the subscriber hears nothing. */
  onDeaf(): void;
  /** The lease is held again, but was gone before: this node was silent for too long and counted as dead, or data was lost. */
  onLapse(): void;
}

/** After a renewal that failed. Less than others wait before they call a node dead whose lease is missing. */
const RETRY_MS = 400;

/**
 * Holds the node's lease, and finds out whether the node can be reached: each renewal sends a probe the way that other
 * nodes' messages come. After a failover a subscriber may answer pings and yet receive nothing.
 */
export class Lease {
  private cancel: (() => void) | undefined;
  private closed = false;
  private count = 0;
  /** Of the last probe: in how many ways it was sent, and how often it has come back. */
  private sent = 0;
  private heard = 0;
  private everHeard = false;
  private listening = false;
  /** The lease that was got last runs until then at least, by `clock.elapsed()`. */
  private heldUntil = 0;
  private steady: number | undefined;
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
    while (this.failure !== undefined || !this.listening || !this.everHeard) {
      await new Promise<void>((resolve) => this.waiting.add(resolve));
    }
  }

  onProbeSent(probe: string): void {
    if (Number(probe) === this.count) this.sent += 1;
  }

  onProbe(probe: string): void {
    if (Number(probe) === this.count) this.heard += 1;
    this.everHeard = true;
    this.wake();
  }

  /** The subscriber is there (again): probes that went out before do not count. Probes at once. */
  resubscribed(): void {
    this.listening = true;
    this.renewNow();
  }

  /** See `NodeLeases.steadySince`. */
  steadySince(): number | undefined {
    return this.options.clock.elapsed() < this.heldUntil ? this.steady : undefined;
  }

  /** Redis can be reached again, and may have lost the lease in a failover: other nodes may be looking for it. */
  reconnected(): void {
    if (!this.closed) this.renewNow();
  }

  close(): void {
    this.closed = true;
    this.cancel?.();
  }

  private renewNow(): void {
    this.heard = this.sent;
    this.cancel?.();
    void this.renew();
  }

  private async renew(): Promise<void> {
    if (this.listening && this.sent > this.heard) {
      this.listening = false;
      this.options.onDeaf();
    }
    this.count += 1;
    this.sent = 0;
    this.heard = 0;
    const probe = this.count;
    let pause = this.options.leaseMs / 3;
    try {
      // From before it is asked for: the lease runs from when Redis gets to it, which is later.
      const { clock, leaseMs } = this.options;
      const asked = clock.elapsed();
      // Two renewals under way at the start would each find no lease: neither has lost one.
      const hadOne = this.heldUntil > 0;
      const anew = await this.options.renew(String(probe));
      this.failure = undefined;
      const lapsed = hadOne && (anew || asked > this.heldUntil);
      this.heldUntil = asked + leaseMs;
      if (lapsed) this.steady = clock.elapsed() + leaseMs / 2;
      else this.steady ??= clock.elapsed();
      if (lapsed) this.options.onLapse();
    } catch (error) {
      this.failure = error instanceof Error ? error.message : String(error);
      pause = Math.min(pause, RETRY_MS);
    }
    // Closed, or started again by `renewNow`, while we waited for Redis: that run goes on, this one ends.
    if (this.closed || probe !== this.count) return;
    this.wake();
    const { clock } = this.options;
    this.cancel = clock.after(jittered(pause, clock), () => {
      void this.renew();
    });
  }

  private wake(): void {
    for (const resolve of this.waiting) resolve();
    this.waiting.clear();
  }
}
