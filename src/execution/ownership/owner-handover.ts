import type { NodeMessageOf } from '../../backplane/backplane.js';
import { isReleased, RELEASED } from '../../backplane/backplane.js';
import { RepeatedLook } from '../../protocol/timing/repeated-look.js';
import { packContext } from '../messages/delivery-context.js';
import type { DeliveryContext } from '../../replica/replica.js';
import type { Assignments, Placed } from './assignments.js';
import type { Ownership } from './ownership.js';
import type { Follower } from '../../stream/followers/follower.js';
import type { NodeContext } from '../../stream/node-context.js';
import type { NodeWatch } from '../../stream/node-watch.js';
import { LOOK_EVERY_MS } from '../../stream/node-watch.js';

/**
 * Larger requests do not travel in the message `run`, because that would load pub/sub. The owner reads them from the log.
 */
const INLINE_CHARACTERS = 65_536;

export interface OwnerHandoverParts {
  assignments: Assignments;
  ownership: Ownership;
  watch: NodeWatch;
}

interface Handover {
  follower: Follower;
  owner: string;
  context: DeliveryContext;
  /** The context as text, as it is sent to the owner. */
  packed: string;
  messages: string[] | undefined;
  beganAt: number;
  onBegun: (executor: string) => void;
  /** True while the backplane is being asked to assign the requests. It is not asked twice at a time. */
  assigning: boolean;
}

/**
 * Hands requests that reached this node to the owner of their session (`affinity: 'owner'`). Asks the owner again until it
 * has begun. If the owner is dead, has the backplane assign the requests to another node. So a lost message or a dead owner
 * loses no request. The owner begins requests in one step of the backplane, so asking twice has no effect.
 *
 * The context of a request, its authorization above all, is kept here and sent along, but never stored. So a request that no
 * node has begun waits in the log until its client comes back to the stream.
 */
export class OwnerHandover {
  private readonly waiting = new Map<string, Handover>();
  /** Streams that other nodes have asked this node to begin, while the backplane has not answered yet. */
  private readonly beginning = new Set<string>();
  private readonly looks: RepeatedLook;

  constructor(
    private readonly node: NodeContext,
    private readonly parts: OwnerHandoverParts,
  ) {
    this.looks = new RepeatedLook(node.clock, {
      everyMs: () => LOOK_EVERY_MS,
      isNeeded: () => this.waiting.size > 0,
      look: () => this.check(),
    });
  }

  /**
   * Hands the requests of a stream to their owner. `messages` are the requests, if the caller has them. `context` belongs to
   * the client that follows the stream. When a node has begun the requests, `onBegun` is called with it.
   */
  handOver(
    follower: Follower,
    owner: string,
    context: DeliveryContext,
    messages: string[] | undefined,
    onBegun: (executor: string) => void,
  ): void {
    if (this.looks.isClosed) return;
    const length = messages?.reduce((sum, text) => sum + text.length, 0) ?? 0;
    const inline = length > INLINE_CHARACTERS ? undefined : messages;
    // Pack once, here. An error while packing must not be thrown later, from the timer that asks the owner again.
    const packed = packContext(context);
    const beganAt = this.node.clock.elapsed();
    const handover = {
      ...{ follower, owner, context, packed, messages: inline, beganAt, onBegun },
      assigning: false,
    };
    this.waiting.set(keyOf(follower), handover);
    if (owner === this.node.nodeId) this.assign(handover, undefined);
    else this.ask(handover);
    this.looks.schedule();
  }

  get isClosed(): boolean {
    return this.looks.isClosed;
  }

  /** True while the requests of the stream are on their way to the node that is to run them. */
  has(follower: Follower): boolean {
    return this.waiting.has(keyOf(follower));
  }

  /** Handles the answer to `run`: the node that executes the stream. */
  onPlaced(message: NodeMessageOf<'placed'>): void {
    const handover = this.waiting.get(keyOf(message));
    const { executor, begun } = message;
    if (handover !== undefined) this.placed(handover, executor && { executor, begun });
  }

  /** Handles `run`: begins requests that reached another node, if this node owns their session. */
  onRun(message: NodeMessageOf<'run'>, context: DeliveryContext): void {
    const key = keyOf(message);
    if (this.looks.isClosed || this.beginning.has(key)) return;
    this.beginning.add(key);
    const { sessionId, stream, replyTo } = message;
    const { backplane, logger } = this.node;
    this.begin(message, context)
      .then((placed) => {
        const { executor, begun = true } = placed ?? {};
        return backplane.send(replyTo, { type: 'placed', sessionId, stream, executor, begun });
      })
      .catch((error: unknown) => {
        // The other node will ask again.
        logger.warn(`mcp-anynode: a request of another node has to wait: ${String(error)}`);
      })
      .finally(() => this.beginning.delete(key));
  }

  private async begin(
    { sessionId, stream, messages }: NodeMessageOf<'run'>,
    context: DeliveryContext,
  ): Promise<Placed | undefined> {
    const { assignments, ownership } = this.parts;
    const { nodeId } = this.node;
    if (await ownership.giveUp(sessionId)) {
      return { executor: `${RELEASED}${nodeId}`, begun: false };
    }
    const placed = await assignments.assign({ sessionId, stream }, undefined, context, messages);
    return placed === 'stale' ? undefined : placed; // never `stale`, since no dead node was named
  }

  /** Stops handing over and beginning requests. */
  close(): void {
    this.looks.close();
    this.waiting.clear();
  }

  private ask({ follower, owner, packed: context, messages }: Handover): void {
    const { sessionId, stream } = follower;
    const { backplane, nodeId } = this.node;
    backplane
      .send(owner, { type: 'run', sessionId, stream, replyTo: nodeId, context, messages })
      .catch(() => undefined); // `check` asks again
  }

  private placed(handover: Handover, placed: Placed | '' | undefined): void {
    const { follower } = handover;
    const key = keyOf(follower);
    if (this.waiting.get(key) !== handover) return;
    if (!placed) {
      this.waiting.delete(key);
      follower.poke(); // the stream has ended, and the follower finds its end in the log
    } else if (!placed.begun) {
      if (placed.executor === handover.owner) return; // `check` asks the owner again
      // If the executor is released, the owner has given the session up: it closes, or cannot reach its server. This node takes
      // the session then, unless another node was faster.
      handover.owner = isReleased(placed.executor) ? this.node.nodeId : placed.executor;
      if (handover.owner === this.node.nodeId) this.assign(handover, undefined);
      else this.ask(handover);
    } else {
      this.waiting.delete(key);
      const { telemetry, clock } = this.node;
      telemetry?.measure('ownerHop', clock.elapsed() - handover.beganAt);
      handover.onBegun(placed.executor);
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
        this.node.logger.warn(`mcp-anynode: a request has to wait: ${String(error)}`);
      });
  }

  /** Assigns the requests. `stale`: the owner may be alive again, and will be looked at again. */
  private async assigned(
    { follower, context, messages }: Handover,
    nodeId: string | undefined,
  ): Promise<Placed | 'stale' | undefined> {
    const { assignments, watch } = this.parts;
    if (nodeId === undefined) return assignments.assign(follower, undefined, context, messages);
    const lookedAt = await watch.momentSeenDead(follower.sessionId, nodeId);
    if (lookedAt === undefined) return 'stale';
    return assignments.assign(follower, { nodeId, lookedAt }, context, messages);
  }

  private async check(): Promise<void> {
    const waiting = [...this.waiting];
    const owners = waiting.map(([, { owner }]) => owner);
    const dead = await this.parts.watch.findDead(owners);
    for (const [key, handover] of waiting) {
      if (this.waiting.get(key) !== handover) continue; // placed during the look
      const { follower, owner } = handover;
      if (follower.ended && (dead.has(owner) || owner === this.node.nodeId)) {
        // The client may come back to any node. That node hands the requests over, with the authorization of the new
        // request.
        this.waiting.delete(key);
      } else if (dead.has(owner)) {
        this.assign(handover, owner);
      } else if (owner === this.node.nodeId) {
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
