import type { LiveSession } from '../replica/live-session.js';
import type { NodeContext } from '../stream/node-context.js';
import type { ReplicaPool } from '../replica/replica-pool.js';

/** Keeps callers apart from the sessions of others, before anything of theirs waits or is stored. */
export class SessionAccess {
  constructor(
    private readonly node: NodeContext,
    private readonly pool: ReplicaPool,
  ) {}

  /** Whether there is such a session, and it is this principal's. Costs as much for every session, and for none. */
  async owns(principal: string, sessionId: string): Promise<boolean> {
    const identity = await this.node.membership.identify(sessionId);
    return identity?.principal === principal;
  }

  /** Whether a caller may send much to a session. A session never changes hands, so that what this node has learned of it counts. */
  async maySendMuch(principal: string, sessionId: string): Promise<boolean> {
    return (
      this.pool.get(sessionId)?.principal === principal || (await this.owns(principal, sessionId))
    );
  }

  /**
   * Whether to ask first whose session it is. A stranger never waits in the queue of a session, and takes no room there.
   * Nothing is asked where the queue is empty: then the commit tells, which every call needs anyway.
   */
  mayBeStranger(principal: string, live: LiveSession): boolean {
    return live.principal !== principal && this.node.commitQueue.isBusy(live.id);
  }

  /** Asks, and remembers who the owner is. */
  async isStranger(principal: string, live: LiveSession): Promise<boolean> {
    if (!(await this.owns(principal, live.id))) return true;
    live.principal = principal;
    return false;
  }
}
