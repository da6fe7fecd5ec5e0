import { STANDALONE } from '../../backplane/backplane.js';
import type { NodeContext } from '../../stream/node-context.js';
import type { SessionKeeper } from '../../stream/session-keeper.js';
import type { OwnerHandover } from '../ownership/owner-handover.js';
import type { Ownership } from '../ownership/ownership.js';
import type { SessionService } from '../session-service.js';
import type { CatchUp } from './catch-up.js';
import type { OpenerWatch } from './opener-watch.js';
import type { OrphanRecovery } from './orphan-recovery.js';

export interface SilenceRecoveryParts {
  sessions: SessionService;
  ownership: Ownership;
  orphans: OrphanRecovery;
  handovers: OwnerHandover;
  openers: OpenerWatch;
  keeper: SessionKeeper;
  catchUp: CatchUp;
}

/** Finds what a node has missed while it could not hear the backplane, or while other nodes could not see its lease. */
export class SilenceRecovery {
  constructor(
    private readonly node: NodeContext,
    private readonly parts: SilenceRecoveryParts,
  ) {}

  /**
   * Recovers after the subscription to the backplane was lost or deaf. Messages may be lost, and after a failover stored
   * steps too.
   */
  messagesLost(): void {
    const { node } = this;
    const { sessions, orphans, handovers, openers, catchUp } = this.parts;
    // A failover may have lost the answer of a call that no longer runs here. Then its stream has to be ended.
    node.followers.pokeAll(node.clock, (follower) => {
      if (follower.stream === STANDALONE) openers.check(follower);
      else if (!handovers.has(follower)) orphans.endOwnUnlessRunning(follower);
    });
    // A failover may have lost that this node, as an owner, has begun requests.
    if (node.settings.owned) {
      for (const { sessionId, stream } of sessions.begun())
        orphans.confirmExecutor(sessionId, stream);
    }
    catchUp.catchUp().catch((error: unknown) => {
      node.logger.warn(`mcp-anynode: answers may have been missed: ${String(error)}`);
    });
  }

  /** Recovers after the lease of this node had run out. Other nodes may have taken over what this node held. */
  leaseLapsed(): void {
    const { logger } = this.node;
    const { sessions, ownership, keeper } = this.parts;
    logger.warn(
      'mcp-anynode: this node was silent for longer than its lease, or the lease was lost',
    );
    void keeper.refresh(sessions.withReplica());
    ownership.verify().catch((error: unknown) => {
      logger.warn(`mcp-anynode: sessions may be others' by now: ${String(error)}`);
    });
  }
}
