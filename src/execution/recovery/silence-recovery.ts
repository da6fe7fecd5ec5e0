import { STANDALONE } from '../../backplane/backplane.js';
import type { NodeContext } from '../../stream/node-context.js';
import type { SessionKeeper } from '../../stream/session-keeper.js';
import type { OwnerHandover } from '../owner-handover.js';
import type { Ownership } from '../ownership.js';
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

/** Looks for what a node has missed while it heard nothing of the backplane, or the other nodes nothing of it. */
export class SilenceRecovery {
  constructor(
    private readonly node: NodeContext,
    private readonly parts: SilenceRecoveryParts,
  ) {}

  /** The connection to the backplane was lost or deaf: messages may be lost, and after a failover also what was stored. */
  messagesLost(): void {
    const { node } = this;
    const { sessions, orphans, handovers, openers, catchUp } = this.parts;
    // The backplane may have lost the answer of a call that runs here no more (a failover): then its stream has to be ended.
    node.followers.pokeAll(node.clock, (follower) => {
      if (follower.stream === STANDALONE) openers.check(follower);
      else if (!handovers.has(follower)) orphans.checkOwn(follower);
    });
    // A failover may have lost that this node has begun requests as the owner of their session.
    if (node.settings.owned) {
      for (const { sessionId, stream } of sessions.begun()) orphans.assert(sessionId, stream);
    }
    catchUp.catchUp().catch((error: unknown) => {
      node.logger.warn(`mcp-anynode: answers may have been missed: ${String(error)}`);
    });
  }

  /** This node was silent for longer than its lease: other nodes may have taken over what it held. */
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
