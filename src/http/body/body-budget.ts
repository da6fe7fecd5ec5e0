import { RefusalError, REFUSALS } from '../response/refusals.js';

/** Large bodies leave so much of the budget to those that are at most as long as a handshake. */
const LARGE_SHARE = 0.75;
export const SMALL_BODY_BYTES = 64 * 1024;

/**
 * Bounds the bytes of the request bodies that a node is reading or has read and not stored yet. A caller may hold as much
 * as it leaves free for others: one caller alone gets half of the budget, and the first body of another one always finds room.
 */
export class BodyBudget {
  private readonly held = new Map<string, number>();
  private total = 0;

  constructor(private readonly most: number) {}

  /** The share of one request, which holds nothing yet. */
  share(principal: string): BodyShare {
    return new BodyShare((more, bytes) => this.take(principal, more, bytes));
  }

  /** Changes what this caller holds by `more` bytes, for a body of `bytes` in all. `false`: there is no room. */
  private take(principal: string, more: number, bytes: number): boolean {
    const held = (this.held.get(principal) ?? 0) + more;
    if (more > 0) {
      const most = bytes > SMALL_BODY_BYTES ? this.most * LARGE_SHARE : this.most;
      const free = this.most - this.total - more;
      if (this.total + more > most || held > free) return false;
    }
    this.total += more;
    if (held === 0) this.held.delete(principal);
    else this.held.set(principal, held);
    return true;
  }
}

/** What the body of one request takes of the budget. */
export class BodyShare {
  private bytes = 0;

  constructor(private readonly take: (more: number, bytes: number) => boolean) {}

  /** The body takes at least so many bytes from now on. Refuses the request with 503 where there is no room for them. */
  hold(bytes: number): void {
    if (bytes <= this.bytes) return;
    if (!this.take(bytes - this.bytes, bytes)) throw new RefusalError(REFUSALS.bodiesInFlight);
    this.bytes = bytes;
  }

  /** Gives everything back. Called again it does nothing. */
  release(): void {
    if (this.bytes > 0) this.take(-this.bytes, 0);
    this.bytes = 0;
  }
}
