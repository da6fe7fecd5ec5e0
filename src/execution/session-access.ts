import type { LiveSession } from '../replica/live-session.js';
import type { NodeContext } from '../stream/node-context.js';
import type { ReplicaPool } from '../replica/replica-pool.js';

/** Keeps callers away from the sessions of other principals, before their messages wait or are stored. */
export class SessionAccess {
  constructor(
    private readonly node: NodeContext,
    private readonly pool: ReplicaPool,
  ) {}

  /** True if the session exists and belongs to the principal. The cost is the same if it does not exist. */
  async owns(principal: string, sessionId: string): Promise<boolean> {
    const identity = await this.node.backplane.identify(sessionId);
    return identity?.principal === principal;
  }

  /**
   * True if a caller may send a large body to a session. A session never changes its principal, so a principal that this
   * node has seen before still counts.
   */
  async maySendMuch(principal: string, sessionId: string): Promise<boolean> {
    return (
      this.pool.get(sessionId)?.principal === principal || (await this.owns(principal, sessionId))
    );
  }

  /**
   * True if the principal has to be checked before the commit. A caller that is not the principal must not wait in the
   * session's commit queue, or take room there. If the queue is empty, the commit itself checks the principal, without
   * another round trip.
   */
  mayBeStranger(principal: string, live: LiveSession): boolean {
    return live.principal !== principal && this.node.commitQueue.isBusy(live.id);
  }

  /**
   * Asks the backplane. Returns true if the session does not exist or belongs to another principal. Otherwise this node
   * remembers the principal.
   */
  async isStranger(principal: string, live: LiveSession): Promise<boolean> {
    if (!(await this.owns(principal, live.id))) return true;
    live.principal = principal;
    return false;
  }
}
