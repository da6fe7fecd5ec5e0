import type { Clock } from '../../../protocol/timing/clock.js';
import { jittered } from '../../../protocol/timing/clock.js';

export interface LeaseOptions {
  leaseMs: number;
  clock: Clock;
  /**
   * Writes the lease, and publishes `probe` to this node's own channel through each server of a cluster. Calls `onProbeSent` for
   * each. Resolves with true if the lease was missing.
   */
  renew(probe: string): Promise<boolean>;
  /** Called when a probe was sent and did not come back: the subscriber hears nothing. */
  onDeaf(): void;
  /**
   * Called when the lease is held again after it was gone. This node was silent for too long and counted as dead, or Redis
   * has lost data.
   */
  onLapse(): void;
}

/**
 * The pause after a failed renewal. It is shorter than the time after which other nodes call a node dead whose lease is
 * missing.
 */
const RETRY_MS = 400;

/**
 * Holds the node's lease, and finds out whether other nodes can reach the node. Each renewal publishes a probe to the node
 * itself, as other nodes publish their messages. After a failover, a subscriber may answer pings and yet receive nothing.
 */
export class Lease {
  private cancel: (() => void) | undefined;
  private closed = false;
  private count = 0;
  /** How often the last probe was sent, and how often it has come back. */
  private sent = 0;
  private heard = 0;
  private everHeard = false;
  private listening = false;
  /** The last lease is held until at least this time, by `clock.elapsed()`. */
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

  /** Sends a new probe after the subscriber has subscribed. Earlier probes no longer count. */
  resubscribed(): void {
    this.listening = true;
    this.renewNow();
  }

  /** See `NodeLeases.steadySince`. */
  steadySince(): number | undefined {
    return this.options.clock.elapsed() < this.heldUntil ? this.steady : undefined;
  }

  /**
   * Renews the lease at once, because Redis can be reached again. It may have lost the lease in a failover, and other nodes
   * may be looking for it.
   */
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
      // Count from before the call. The lease begins later, when Redis gets the command.
      const { clock, leaseMs } = this.options;
      const askedAt = clock.elapsed();
      // Two renewals may run at the start, and both find no lease. That is no lapse.
      const hadOne = this.heldUntil > 0;
      const anew = await this.options.renew(String(probe));
      this.failure = undefined;
      const lapsed = hadOne && (anew || askedAt > this.heldUntil);
      this.heldUntil = askedAt + leaseMs;
      if (lapsed) this.steady = clock.elapsed() + leaseMs / 2;
      else this.steady ??= clock.elapsed();
      if (lapsed) this.options.onLapse();
    } catch (error) {
      this.failure = error instanceof Error ? error.message : String(error);
      pause = Math.min(pause, RETRY_MS);
    }
    // The lease was closed, or `renewNow` has started another run, which goes on instead of this one.
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
