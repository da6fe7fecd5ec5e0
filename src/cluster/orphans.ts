import type { Membership } from '../backplane/backplane.js';
import { RELEASED } from '../backplane/backplane.js';
import type { Clock } from '../protocol/clock.js';
import type { JsonRpcError, RequestId } from '../protocol/jsonrpc.js';
import { ErrorCode } from '../protocol/jsonrpc.js';
import type { DeliveryContext } from '../session/replica.js';
import type { Orphan, Sessions } from '../session/sessions.js';
import type { Follower } from '../stream/follower.js';
import type { Lanes } from '../stream/lanes.js';

/** How often the executors of followed streams are looked after. Twice missing is dead: see {@link Orphans}. */
const CHECK_MS = 900;

export interface OrphansOptions {
  membership: Pick<Membership, 'alive'>;
  lanes: Lanes;
  sessions: Sessions;
  clock: Clock;
  rerun: boolean;
  logger: { warn(message: string): void };
}

interface Watched {
  executor: string;
  context: DeliveryContext;
}

/**
 * Ends the requests of dead nodes. Whoever follows a stream that another node executes looks after that node, and only
 * then: nodes are looked at, not streams, and a session with no client attached costs nobody anything.
 *
 * A node is dead when its lease was missing twice in a row: after a failover of Redis leases may be missing for the
 * moment that their holders need to come back. Of several claimants one wins, by compare-and-set.
 */
export class Orphans {
  private readonly watched = new Map<Follower, Watched>();
  private missing = new Set<string>();
  private cancelCheck: (() => void) | undefined;
  private closed = false;

  constructor(private readonly options: OrphansOptions) {}

  /** `context`: of the request that brought the client here; what is run again, is run in its name. */
  watch(follower: Follower, executor: string, context: DeliveryContext): void {
    if (this.closed || follower.ended) return;
    this.watched.set(follower, { executor, context });
    if (executor === RELEASED) this.recoverFollowed(follower);
    this.schedule();
  }

  unwatch(follower: Follower): void {
    this.watched.delete(follower);
  }

  /** The executor has released the stream that `follower` follows. */
  released(follower: Follower): void {
    const watched = this.watched.get(follower);
    if (watched === undefined) return;
    watched.executor = RELEASED;
    this.recoverFollowed(follower);
  }

  /** Ends what a node that is known to be dead has left on a stream that nobody follows here. Never runs it again. */
  async end(sessionId: string, stream: string, executor: string): Promise<void> {
    const claim = { type: 'claim' as const, stream, from: executor, revision: -1 };
    const committed = await this.options.lanes.append(sessionId, [claim], true);
    if (committed === 'gone') return;
    const [result] = committed.results;
    if (result?.status !== 'claimed') return;
    await this.options.sessions.endOrphans(sessionId, stream, idsOf(result.requests), (id) =>
      nodeLost(id, executor),
    );
  }

  close(): void {
    this.closed = true;
    this.cancelCheck?.();
    this.watched.clear();
  }

  private schedule(): void {
    if (this.closed || this.watched.size === 0) return;
    this.cancelCheck ??= this.options.clock.after(CHECK_MS, () => {
      void this.check().finally(() => {
        this.cancelCheck = undefined;
        this.schedule();
      });
    });
  }

  private async check(): Promise<void> {
    const executors = [...new Set([...this.watched.values()].map(({ executor }) => executor))];
    let alive: Set<string>;
    try {
      alive = await this.options.membership.alive(executors);
    } catch {
      // Nothing is known while the backplane is away: nobody is declared dead.
      this.missing.clear();
      return;
    }
    const missing = new Set(executors.filter((executor) => !alive.has(executor)));
    const dead = new Set([...missing].filter((executor) => this.missing.has(executor)));
    this.missing = missing;
    for (const [follower, { executor }] of this.watched) {
      if (dead.has(executor)) this.recoverFollowed(follower);
    }
  }

  private recoverFollowed(follower: Follower): void {
    const watched = this.watched.get(follower);
    if (watched === undefined) return;
    this.watched.delete(follower);
    this.recover(follower, watched).catch((error: unknown) => {
      this.options.logger.warn(`mcp-anynode: an orphan was not ended: ${String(error)}`);
      this.watch(follower, watched.executor, watched.context);
    });
  }

  private async recover(follower: Follower, { executor, context }: Watched): Promise<void> {
    const { sessionId, stream } = follower;
    const { lanes, sessions, rerun } = this.options;
    const revision = sessions.revisionOf(sessionId);
    // A node that will not run anything again has no use for the record: -1 is no revision, and no replica either.
    const claim = {
      type: 'claim' as const,
      stream,
      from: executor,
      revision: rerun ? revision : -1,
    };
    const committed = await lanes.append(sessionId, [claim], true);
    if (committed === 'gone') return;
    const [result] = committed.results;
    if (result?.status !== 'claimed') {
      // Ended, or somebody else's now. The log knows the one, and its end the other.
      follower.poke();
      return;
    }
    // Ours now, even if the client is gone again: nobody else can claim it while this node lives.
    const orphan: Orphan = {
      ...{ sessionId, stream, context },
      requests: idsOf(result.requests),
      record: committed.reply.record,
      errorOf: (id) => nodeLost(id, executor),
    };
    if (rerun) await sessions.rerunOrphans(orphan);
    else await sessions.endOrphans(sessionId, stream, orphan.requests, orphan.errorOf);
  }
}

/** What a client gets for a request whose node is gone. Whether it was carried out, nobody knows. */
function nodeLost(id: RequestId, node: string): JsonRpcError {
  const closed = node === RELEASED;
  return {
    jsonrpc: '2.0',
    id,
    error: {
      code: ErrorCode.ConnectionClosed,
      message: closed
        ? 'The node that ran this request was closed'
        : 'The node that ran this request is gone',
      data: closed ? { reason: 'node_closed' } : { reason: 'node_lost', node },
    },
  };
}

/** Of a request that still ran when its node's time to drain was over. */
export function nodeClosed(id: RequestId): JsonRpcError {
  return nodeLost(id, RELEASED);
}

function idsOf(texts: string[]): RequestId[] {
  return texts.map((text) => JSON.parse(text) as RequestId);
}
