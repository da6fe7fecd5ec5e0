import type { Membership } from '../backplane/backplane.js';
import type { Clock } from '../protocol/clock.js';

/** Which nodes hold a lease, asked at most once per node in a third of the lease. */
export class Liveness {
  private readonly known = new Map<string, { alive: Promise<boolean>; until: number }>();

  constructor(
    private readonly nodeId: string,
    private readonly membership: Pick<Membership, 'alive'>,
    private readonly clock: Clock,
    private readonly leaseMs: number,
  ) {}

  /** May be as old as a third of the lease. Rejects with `backplane_unavailable`. */
  isAlive(nodeId: string): Promise<boolean> {
    if (nodeId === this.nodeId) return Promise.resolve(true);
    const now = this.clock.now();
    const known = this.known.get(nodeId);
    if (known !== undefined && known.until > now) return known.alive;
    for (const [id, { until }] of this.known) if (until <= now) this.known.delete(id);
    const alive = this.membership.alive([nodeId]).then((living) => living.has(nodeId));
    this.known.set(nodeId, { alive, until: now + this.leaseMs / 3 });
    alive.catch(() => this.known.delete(nodeId));
    return alive;
  }
}

/**
 * Which nodes are dead: whose lease was missing at two looks in a row. After a failover of Redis leases may be missing
 * for the moment that their holders need to come back.
 */
export class Obituary {
  private missing = new Set<string>();

  constructor(private readonly membership: Pick<Membership, 'alive'>) {}

  /** Costs one round trip. While nothing is known nobody is dead: never rejects. */
  async look(nodeIds: string[]): Promise<Set<string>> {
    const nodes = [...new Set(nodeIds)];
    let alive: Set<string>;
    try {
      alive = await this.membership.alive(nodes);
    } catch {
      this.missing.clear();
      return new Set();
    }
    const missing = new Set(nodes.filter((node) => !alive.has(node)));
    const dead = new Set([...missing].filter((node) => this.missing.has(node)));
    this.missing = missing;
    return dead;
  }
}
