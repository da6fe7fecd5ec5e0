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
