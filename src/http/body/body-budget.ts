import { RefusalError, REFUSALS } from '../response/refusals.js';

/**
 * The share of the budget that large bodies may use. The rest is kept for bodies of at most `SMALL_BODY_BYTES`, such as
 * handshakes.
 */
const LARGE_SHARE = 0.75;
export const SMALL_BODY_BYTES = 64 * 1024;

/**
 * Bounds the bytes of request bodies that a node is reading, or has read and not stored yet. The bytes that one caller holds
 * must not exceed the bytes that stay free. So a caller alone can take half of the budget, and the first body of another
 * caller always finds room.
 */
export class BodyBudget {
  private readonly held = new Map<string, number>();
  private total = 0;

  constructor(private readonly most: number) {}

  /** Returns the share of one request, which is still empty. */
  share(principal: string): BodyShare {
    return new BodyShare((more, bytes) => this.take(principal, more, bytes));
  }

  /**
   * Adds `more` bytes, which may be negative, to the bytes that this caller holds. `bytes` is the length of the whole body.
   * Returns false if there is no room.
   */
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

/** The bytes of the budget that the body of one request takes. */
export class BodyShare {
  private bytes = 0;

  constructor(private readonly take: (more: number, bytes: number) => boolean) {}

  /** Grows this share to at least `bytes`. Refuses the request with 503 if there is no room for that. */
  hold(bytes: number): void {
    if (bytes <= this.bytes) return;
    if (!this.take(bytes - this.bytes, bytes)) throw new RefusalError(REFUSALS.bodiesInFlight);
    this.bytes = bytes;
  }

  /** Gives the whole share back. A second call does nothing. */
  release(): void {
    if (this.bytes > 0) this.take(-this.bytes, 0);
    this.bytes = 0;
  }
}
