import type { BackplaneClock, NodeLeases } from '../backplane/backplane.js';
import type { Clock } from '../protocol/clock.js';

/** How long a lease has to be missing. After a failover of Redis a living node may need a moment to set its lease again. */
const MISSING_MS = 900;
/** The pause between two looks at a node: the second one finds its lease missing for long enough, however a timer is rounded. */
export const LOOK_EVERY_MS = MISSING_MS + 50;
/** A node that has not been looked at for so long is forgotten: ids of nodes do not come back. */
const FORGET_MS = 60_000;

/** What a look tells of a node. `unknown`: this look does not count. */
type Sight = 'alive' | 'missing' | 'dead' | 'unknown';

export interface NodeWatchOptions {
  nodeId: string;
  /** A function, since the membership may not be opened before the first look. */
  membership: () => NodeLeases & BackplaneClock;
  clock: Clock;
  leaseMs: number;
}

/**
 * Decides which nodes are dead. This is the only definition of a dead node.
 *
 * A node is dead when two looks, at least 900 ms apart, found its lease missing, and no look between them found it. A look
 * counts only if this node held its own lease without interruption since before the first of them, and for half a
 * `leaseMs` after it had lost its own: a node that cannot hold its lease cannot tell whether others can. While the
 * backplane does not answer, or refuses writes, no node is declared dead.
 */
export class NodeWatch {
  /** Nodes whose lease is missing: since which look, and when they were last looked at, both by `clock.elapsed()`. */
  private readonly missing = new Map<string, { since: number; lookedAt: number }>();
  private readonly known = new Map<string, { alive: Promise<boolean>; until: number }>();
  private readonly pauses = new Set<() => void>();
  private closed = false;

  constructor(private readonly options: NodeWatchOptions) {}

  /** After how long another look at this node may tell something new. */
  lookAgainMs(nodeId: string): number {
    return this.missing.has(nodeId) ? LOOK_EVERY_MS : this.options.leaseMs / 3;
  }

  /** Looks at these nodes once, which costs one round trip, and returns those that are dead. Never rejects. */
  async findDead(nodeIds: Iterable<string>): Promise<Set<string>> {
    const sights = await this.look(nodeIds);
    return new Set([...sights.keys()].filter((nodeId) => sights.get(nodeId) === 'dead'));
  }

  /** Looks a second time, 950 ms later, if the lease of this node is missing. Never rejects. */
  async isDead(nodeId: string): Promise<boolean> {
    return (await this.lookTwice(nodeId)) === 'dead';
  }

  /** Like the opposite of `isDead`, from an answer that may be as old as a third of a lease. Never rejects. */
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

  /** Whether the lease of this node is there, as far as one look tells, which may be as old as with `isAlive`. Never rejects. */
  async seemsAlive(nodeId: string): Promise<boolean> {
    const known = this.recall(nodeId);
    if (known !== undefined) return known;
    const seems = (await this.look([nodeId])).get(nodeId) === 'alive';
    if (seems) this.remember(nodeId, Promise.resolve(true));
    return seems;
  }

  /**
   * The moment of a look at which this node was dead, by the clock that steps of this session (or task) go by: see
   * `ClaimOperation`.
   * `undefined`: the node is not dead, or not any more. Two round trips. Never rejects.
   */
  async momentOfDeath(id: string, nodeId: string): Promise<number | undefined> {
    try {
      // The clock first: the step may be carried out later than the look seems to be, never earlier.
      const moment = await this.options.membership().timeOf(id);
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
    const membership = this.options.membership();
    const asked = clock.elapsed();
    // With its own lease, in the same look: where all leases are lost, this node's may be among them.
    const alive = await membership.alive([...nodes, own]).catch(() => undefined);
    const steadySince = membership.steadySince();
    if (alive?.has(own) !== true || steadySince === undefined || steadySince > asked) {
      this.missing.clear();
      return new Map([...nodes].map((nodeId) => [nodeId, 'unknown']));
    }
    const answered = clock.elapsed();
    for (const [nodeId, { lookedAt }] of this.missing) {
      if (answered - lookedAt > FORGET_MS) this.missing.delete(nodeId);
    }
    const sightOf = (nodeId: string): Sight => {
      if (alive.has(nodeId)) {
        this.missing.delete(nodeId);
        return 'alive';
      }
      // From the end of the first look to the beginning of this one: it was missing for at least so long.
      const since = this.missing.get(nodeId)?.since ?? answered;
      this.missing.set(nodeId, { since, lookedAt: answered });
      return asked - since >= MISSING_MS ? 'dead' : 'missing';
    };
    return new Map([...nodes].map((nodeId) => [nodeId, sightOf(nodeId)]));
  }
}
