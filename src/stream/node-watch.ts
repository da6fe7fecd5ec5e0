import type { BackplaneClock, NodeLeases } from '../backplane/backplane.js';
import type { Clock } from '../protocol/timing/clock.js';

/** How long a lease has to be missing. After a failover of Redis a living node may need a moment to set its lease again. */
const MISSING_MS = 900;
/** The pause between two looks at a node. It is a little longer than needed, because timers are rounded. */
export const LOOK_EVERY_MS = MISSING_MS + 50;
/** A missing node at which no look was taken for this long is forgotten. */
const FORGET_MS = 60_000;

/** The result of a look at a node. `unknown` means that the look does not count. */
type Sight = 'alive' | 'missing' | 'dead' | 'unknown';

export interface NodeWatchOptions {
  nodeId: string;
  /** A function, since the backplane may not be opened before the first look. */
  backplane: () => NodeLeases & BackplaneClock;
  clock: Clock;
  leaseMs: number;
}

/**
 * Decides which nodes are dead. This is the only definition of a dead node.
 *
 * A node is dead when two looks, at least 900 ms apart, found its lease missing, and no look between them found it. The
 * looks count only if this node held its own lease from before the first until after the second. A node that has lost its
 * own lease waits for half a `leaseMs` first: the cause may have cost other living nodes their leases as well. While the
 * backplane does not answer, or refuses writes, no node is declared dead.
 */
export class NodeWatch {
  /** Nodes whose lease is missing: the end of the first look that found it missing, and of the last one. */
  private readonly missing = new Map<string, { since: number; lookedAt: number }>();
  /** The answers of `isAlive` and `seemsAlive` that are still valid. */
  private readonly known = new Map<string, { alive: Promise<boolean>; until: number }>();
  private readonly pauses = new Set<() => void>();
  private closed = false;

  constructor(private readonly options: NodeWatchOptions) {}

  /** Looks at these nodes once, in one round trip, and returns those that are dead. Never rejects. */
  async findDead(nodeIds: Iterable<string>): Promise<Set<string>> {
    const sights = await this.look(nodeIds);
    return new Set([...sights.keys()].filter((nodeId) => sights.get(nodeId) === 'dead'));
  }

  /** Whether a node is dead. If its lease is missing, there is a second look 950 ms later. Never rejects. */
  async isDead(nodeId: string): Promise<boolean> {
    return (await this.lookTwice(nodeId)) === 'dead';
  }

  /** The opposite of `isDead`. The answer may be as old as a third of `leaseMs`. Never rejects. */
  isAlive(nodeId: string): Promise<boolean> {
    const known = this.recall(nodeId);
    if (known !== undefined) return known;
    const alive = this.lookTwice(nodeId).then((sight) => {
      if (sight === 'unknown' || sight === 'missing') this.known.delete(nodeId);
      return sight !== 'dead';
    });
    this.remember(nodeId, alive);
    return alive;
  }

  /** Whether one look finds the lease of a node. The answer may be as old as that of `isAlive`. Never rejects. */
  async seemsAlive(nodeId: string): Promise<boolean> {
    const known = this.recall(nodeId);
    if (known !== undefined) return known;
    const seems = (await this.look([nodeId])).get(nodeId) === 'alive';
    if (seems) this.remember(nodeId, Promise.resolve(true));
    return seems;
  }

  /**
   * Looks at a node, and returns the moment of that look if the node is dead, or `undefined` if it is not. The moment is a
   * time of the backplane's clock for the session or task `id` (see `ClaimOperation`). Costs two round trips. Never
   * rejects.
   */
  async momentSeenDead(id: string, nodeId: string): Promise<number | undefined> {
    try {
      // The clock is read before the look, so that the look never seems newer than it is.
      const moment = await this.options.backplane().timeOf(id);
      const sights = await this.look([nodeId]);
      return sights.get(nodeId) === 'dead' ? moment : undefined;
    } catch {
      return undefined;
    }
  }

  close(): void {
    this.closed = true;
    for (const end of this.pauses) end();
  }

  private recall(nodeId: string): Promise<boolean> | undefined {
    const known = this.known.get(nodeId);
    return known !== undefined && known.until > this.options.clock.elapsed()
      ? known.alive
      : undefined;
  }

  private remember(nodeId: string, alive: Promise<boolean>): void {
    const now = this.options.clock.elapsed();
    for (const [id, { until }] of this.known) if (until <= now) this.known.delete(id);
    this.known.set(nodeId, { alive, until: now + this.options.leaseMs / 3 });
  }

  private async lookTwice(nodeId: string): Promise<Sight | undefined> {
    const first = (await this.look([nodeId])).get(nodeId);
    if (first !== 'missing' || this.closed) return first;
    await new Promise<void>((resolve) => {
      const end = (): void => {
        cancelTimer();
        this.pauses.delete(end);
        resolve();
      };
      const cancelTimer = this.options.clock.after(LOOK_EVERY_MS, end);
      this.pauses.add(end);
    });
    return (await this.look([nodeId])).get(nodeId);
  }

  private async look(nodeIds: Iterable<string>): Promise<Map<string, Sight>> {
    const { nodeId: own, clock } = this.options;
    const nodes = new Set(nodeIds);
    nodes.delete(own);
    if (nodes.size === 0) return new Map();
    const backplane = this.options.backplane();
    const askedAt = clock.elapsed();
    // The look includes this node's own lease: if the backplane has lost all leases, it has lost that one, too.
    const alive = await backplane.alive([...nodes, own]).catch(() => undefined);
    const steadySince = backplane.steadySince();
    if (alive?.has(own) !== true || steadySince === undefined || steadySince > askedAt) {
      this.missing.clear();
      return new Map([...nodes].map((nodeId) => [nodeId, 'unknown']));
    }
    const answeredAt = clock.elapsed();
    for (const [nodeId, { lookedAt }] of this.missing) {
      if (answeredAt - lookedAt > FORGET_MS) this.missing.delete(nodeId);
    }
    const sightOf = (nodeId: string): Sight => {
      if (alive.has(nodeId)) {
        this.missing.delete(nodeId);
        return 'alive';
      }
      // The lease was missing at least from the end of the first look to the beginning of this one.
      // A first look from before this node lost its own lease for a while does not count.
      const first = this.missing.get(nodeId)?.since;
      const since = first === undefined || first < steadySince ? answeredAt : first;
      this.missing.set(nodeId, { since, lookedAt: answeredAt });
      return askedAt - since >= MISSING_MS ? 'dead' : 'missing';
    };
    return new Map([...nodes].map((nodeId) => [nodeId, sightOf(nodeId)]));
  }
}
