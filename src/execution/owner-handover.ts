import type { NodeInboxes, NodeMessageOf } from '../backplane/backplane.js';
import { isReleased, RELEASED } from '../backplane/backplane.js';
import type { Clock } from '../protocol/clock.js';
import { packContext } from './delivery-context.js';
import type { DeliveryContext } from '../replica/replica.js';
import type { Assignments, Placed } from './assignments.js';
import type { Ownership } from './ownership.js';
import type { SessionService } from './session-service.js';
import type { Follower } from '../stream/follower.js';
import type { NodeWatch } from '../stream/node-watch.js';
import { LOOK_EVERY_MS } from '../stream/node-watch.js';
import type { OrphanRecovery } from './recovery/orphan-recovery.js';

/** Bigger messages are read from the log by the owner: pub/sub is no place for them. */
const INLINE_CHARACTERS = 65_536;

export interface OwnerHandoverOptions {
  nodeId: string;
  membership: NodeInboxes;
  sessions: SessionService;
  assignments: Assignments;
  ownership: Ownership;
  orphans: OrphanRecovery;
  watch: NodeWatch;
  clock: Clock;
  logger: { warn(message: string): void };
}

interface Handover {
  follower: Follower;
  owner: string;
  context: DeliveryContext;
  /** The same, as it travels. */
  packed: string;
  messages: string[] | undefined;
  /** Asking the backplane: once at a time, however long it is away. */
  assigning: boolean;
}

/**
 * Gets requests that reached this node to the owner of their session (`affinity: 'owner'`), whatever becomes of the
 * messages on the way or of the owner: asks again until the owner has begun, and has them assigned to another node when
 * it is dead. That the owner begins is one step in the backplane, so that asking twice does nothing twice.
 *
 * What came with the request (authorization above all) is kept here and sent along, and stored nowhere. So it takes a
 * client: a request that nobody has begun waits in the log for one that comes back to its stream.
 */
export class OwnerHandover {
  private readonly waiting = new Map<string, Handover>();
  /** What other nodes have asked for, and the backplane has not answered yet. */
  private readonly beginning = new Set<string>();
  private cancelCheck: (() => void) | undefined;
  private closed = false;

  constructor(private readonly options: OwnerHandoverOptions) {}

  /** `messages`: the requests, where they are at hand. `context`: of the client that follows the stream. */
  hand(
    follower: Follower,
    owner: string,
    context: DeliveryContext,
    messages: string[] | undefined,
  ): void {
    if (this.closed) return;
    if (owner !== this.options.nodeId && this.options.sessions.hasBegun(follower)) {
      // The backplane has lost that: the owner must not begin it again.
      this.options.orphans.attend(follower, context);
      this.options.orphans.assert(follower.sessionId, follower.stream);
      return;
    }
    const length = messages?.reduce((sum, text) => sum + text.length, 0) ?? 0;
    const inline = length > INLINE_CHARACTERS ? undefined : messages;
    // Here, once: what cannot be packed must not throw where the owner is asked again, out of a timer.
    const packed = packContext(context);
    const handover = { follower, owner, context, packed, messages: inline, assigning: false };
    this.waiting.set(keyOf(follower), handover);
    if (owner === this.options.nodeId) this.assign(handover, undefined);
    else this.ask(handover);
    this.schedule();
  }

  /** Whether the requests of the stream are on their way to the node that is to run them. */
  has(follower: Follower): boolean {
    return this.waiting.has(keyOf(follower));
  }

  /** An owner, or whoever was asked instead, says who executes the stream. */
  onPlaced(message: NodeMessageOf<'placed'>): void {
    const handover = this.waiting.get(keyOf(message));
    const { executor, begun } = message;
    if (handover !== undefined) this.placed(handover, executor && { executor, begun });
  }

  /** Requests of other nodes for sessions that this one owns. */
  onRun(message: NodeMessageOf<'run'>, context: DeliveryContext): void {
    const key = keyOf(message);
    if (this.closed || this.beginning.has(key)) return;
    this.beginning.add(key);
    const { sessionId, stream, replyTo } = message;
    const { membership, logger } = this.options;
    this.begin(message, context)
      .then((placed) => {
        const { executor, begun = true } = placed ?? {};
        return membership.send(replyTo, { type: 'placed', sessionId, stream, executor, begun });
      })
      .catch((error: unknown) => {
        // The other node asks again.
        logger.warn(`mcp-anynode: a request of another node has to wait: ${String(error)}`);
      })
      .finally(() => this.beginning.delete(key));
  }

  private async begin(
    { sessionId, stream, messages }: NodeMessageOf<'run'>,
    context: DeliveryContext,
  ): Promise<Placed | undefined> {
    const { assignments, ownership, nodeId } = this.options;
    if (await ownership.giveUp(sessionId)) {
      return { executor: `${RELEASED}${nodeId}`, begun: false };
    }
    const placed = await assignments.assign({ sessionId, stream }, undefined, context, messages);
    return placed === 'stale' ? undefined : placed; // never: no node was said to be dead
  }

  /** Hands over and begins nothing any more. */
  close(): void {
    this.closed = true;
    this.cancelCheck?.();
    this.waiting.clear();
  }

  private ask({ follower, owner, packed: context, messages }: Handover): void {
    const { sessionId, stream } = follower;
    const { membership, nodeId } = this.options;
    membership
      .send(owner, { type: 'run', sessionId, stream, replyTo: nodeId, context, messages })
      .catch(() => undefined); // it is asked again
  }

  private placed(handover: Handover, placed: Placed | '' | undefined): void {
    const { follower, context } = handover;
    const key = keyOf(follower);
    if (this.waiting.get(key) !== handover) return;
    if (!placed) {
      this.waiting.delete(key);
      follower.poke(); // ended, as the log knows
    } else if (!placed.begun) {
      if (placed.executor === handover.owner) return; // it is asked again
      // Given up by its owner, whose server cannot be reached: the session is this node's, unless another one was faster.
      handover.owner = isReleased(placed.executor) ? this.options.nodeId : placed.executor;
      if (handover.owner === this.options.nodeId) this.assign(handover, undefined);
      else this.ask(handover);
    } else {
      this.waiting.delete(key);
      if (placed.executor === this.options.nodeId) this.options.orphans.attend(follower, context);
      else this.options.orphans.watch(follower, placed.executor, context);
    }
  }

  private assign(handover: Handover, dead: string | undefined): void {
    if (handover.assigning) return;
    handover.assigning = true;
    this.assigned(handover, dead)
      .finally(() => (handover.assigning = false))
      .then((placed) => {
        if (placed !== 'stale') this.placed(handover, placed);
      })
      .catch((error: unknown) => {
        this.options.logger.warn(`mcp-anynode: a request has to wait: ${String(error)}`);
      });
  }

  /** `stale`: the node that was dead may be alive by now, and is looked at again. */
  private async assigned(
    { follower, context, messages }: Handover,
    nodeId: string | undefined,
  ): Promise<Placed | 'stale' | undefined> {
    const { assignments, watch } = this.options;
    if (nodeId === undefined) return assignments.assign(follower, undefined, context, messages);
    const lookedAt = await watch.momentOfDeath(follower.sessionId, nodeId);
    if (lookedAt === undefined) return 'stale';
    return assignments.assign(follower, { nodeId, lookedAt }, context, messages);
  }

  private schedule(): void {
    if (this.closed || this.waiting.size === 0) return;
    this.cancelCheck ??= this.options.clock.after(LOOK_EVERY_MS, () => {
      void this.check().finally(() => {
        this.cancelCheck = undefined;
        this.schedule();
      });
    });
  }

  private async check(): Promise<void> {
    const waiting = [...this.waiting];
    const owners = waiting.map(([, { owner }]) => owner);
    const dead = await this.options.watch.findDead(owners);
    for (const [key, handover] of waiting) {
      if (this.waiting.get(key) !== handover) continue; // placed while we looked
      const { follower, owner } = handover;
      if (follower.ended && (dead.has(owner) || owner === this.options.nodeId)) {
        // Whoever comes back to the stream takes it from here, with an authorization of its own.
        this.waiting.delete(key);
      } else if (dead.has(owner)) {
        this.assign(handover, owner);
      } else if (owner === this.options.nodeId) {
        this.assign(handover, undefined);
      } else {
        this.ask(handover);
      }
    }
  }
}

function keyOf({ sessionId, stream }: { sessionId: string; stream: string }): string {
  return `${sessionId}\n${stream}`;
}
