import type { Membership } from '../backplane/backplane.js';
import type { Clock } from '../protocol/clock.js';

/** For so long a lease has to be missing: after a failover of Redis it may be, until its holder is back. */
const MISSING_MS = 900;

/**
 * Which nodes are dead, asked one at a time and in no rhythm: a node whose lease was missing twice, with some time
 * between. A living one is not asked for again for a while.
 */
export class Executors {
  private readonly alive = new Map<string, number>();
  private readonly missing = new Map<string, number>();

  constructor(
    private readonly membership: () => Pick<Membership, 'alive'>,
    private readonly clock: Clock,
    private readonly leaseMs: number,
  ) {}

  /** After how long a look tells something new. */
  lookAgainMs(nodeId: string): number {
    return this.missing.has(nodeId) ? MISSING_MS + 50 : this.leaseMs / 3;
  }

  /** While nothing is known nobody is dead: never rejects. */
  async isDead(nodeId: string): Promise<boolean> {
    const now = this.clock.now();
    if ((this.alive.get(nodeId) ?? 0) > now) return false;
    const living = await this.membership()
      .alive([nodeId])
      .catch(() => new Set([nodeId]));
    if (living.has(nodeId)) {
      this.missing.delete(nodeId);
      for (const [id, until] of this.alive) if (until <= now) this.alive.delete(id);
      this.alive.set(nodeId, now + this.leaseMs / 3);
      return false;
    }
    const since = this.missing.get(nodeId);
    if (since !== undefined) return now - since >= MISSING_MS;
    // Those that nobody has asked for since: ids of nodes do not come back.
    for (const [id, at] of this.missing) if (now - at > 60 * MISSING_MS) this.missing.delete(id);
    this.missing.set(nodeId, now);
    return false;
  }
}
