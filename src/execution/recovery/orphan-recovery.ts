import type { NodeInboxes, OperationResult, StreamName } from '../../backplane/backplane.js';
import { isReleased, MOST_CHECKED, RELEASED } from '../../backplane/backplane.js';
import { UNKNOWN_REVISION } from '../../backplane/revision.js';
import type { Clock } from '../../protocol/clock.js';
import type { JsonRpcError, RequestId } from '../../protocol/jsonrpc.js';
import { MapBySession } from '../../protocol/map-by-session.js';
import { parseStoredIds } from '../../protocol/parse-stored.js';
import { answerLost, nodeLost } from '../../replica/requests/request-errors.js';
import type { EndOrRerun, Orphan } from './end-or-rerun.js';
import type { DeliveryContext } from '../../replica/replica.js';
import type { SessionService } from '../session-service.js';
import type { Follower } from '../../stream/follower.js';
import type { Followers } from '../../stream/followers.js';
import type { CommitQueue } from '../../stream/commit-queue.js';
import type { NodeWatch } from '../../stream/node-watch.js';
import { LOOK_EVERY_MS } from '../../stream/node-watch.js';

/** A living executor is asked whether it still runs a stream at its first follower, and then so rarely: about every 9 s. */
const CHECKS_PER_QUESTION = 10;

export interface OrphanRecoveryOptions {
  nodeId: string;
  membership: NodeInboxes;
  watch: NodeWatch;
  commitQueue: CommitQueue;
  sessions: SessionService;
  endOrRerun: EndOrRerun;
  followers: Pick<Followers, 'find'>;
  clock: Clock;
  rerun: boolean;
  /** A session's requests are for its owner: what is to be run again is given to that node. */
  owned: boolean;
  hand(follower: Follower, owner: string, context: DeliveryContext): void;
  logger: { warn(message: string): void };
}

interface Watched {
  follower: Follower;
  executor: string;
  context: DeliveryContext;
}

/**
 * Ends the requests of dead nodes. Whoever follows a stream that another node executes looks after that node, and only
 * then: nodes are looked at, not streams, and a session with no client attached costs nobody anything.
 *
 * Of several claimants one wins, by compare-and-set.
 */
export class OrphanRecovery {
  /** By the stream. */
  private readonly watched = new MapBySession<string, Watched>();
  /** Streams of which the backplane is being asked who executes them. */
  private readonly asserting = new Set<string>();
  private cancelCheck: (() => void) | undefined;
  private closed = false;
  private checks = 0;

  constructor(private readonly options: OrphanRecoveryOptions) {}

  /** `context`: of the request that brought the client here; what is run again, is run in its name. */
  watch(follower: Follower, executor: string, context: DeliveryContext): void {
    if (this.closed || follower.ended) return;
    this.setWatched({ follower, executor, context });
    if (isReleased(executor)) this.recoverFollowed(follower);
    else this.ask(executor, [follower]);
    this.schedule();
  }

  /** A connection here follows a stream that this node executes. Another node may take that over. */
  attend(follower: Follower, context: DeliveryContext): void {
    if (this.closed || follower.ended) return;
    this.setWatched({ follower, executor: this.options.nodeId, context });
    this.schedule();
  }

  /** Like `watch`, where the executor is known to be dead. */
  inherit(follower: Follower, executor: string, context: DeliveryContext): void {
    if (this.closed || follower.ended) return;
    this.setWatched({ follower, executor, context });
    this.recoverFollowed(follower);
  }

  /**
   * A follower waits for the end of a stream that this node executes. If its requests do not all run, they have been answered,
   * and the backplane has lost the answers (a failover): then those end here.
   */
  check(sessionId: string, stream: string, errorOf = answerLost): void {
    if (!this.options.sessions.mayRun(sessionId, stream)) this.assert(sessionId, stream, errorOf);
  }

  /** The same, for a stream of which no other node has been said to run its requests. */
  checkOwn(follower: Follower): void {
    const executor = this.watchedOf(follower)?.executor ?? this.options.nodeId;
    if (executor === this.options.nodeId) this.check(follower.sessionId, follower.stream);
  }

  /**
   * Has the backplane say again who executes a stream that this node has begun. If it is this node, the requests that do not
   * run end. If it is another one, that node is looked after from now on.
   */
  assert(sessionId: string, stream: string, errorOf = answerLost): void {
    const key = `${sessionId} ${stream}`;
    if (this.closed || this.asserting.has(key)) return;
    this.asserting.add(key);
    this.end(sessionId, stream, this.options.nodeId, errorOf, undefined)
      .catch((error: unknown) => {
        this.options.logger.warn(`mcp-anynode: a lost request did not end: ${String(error)}`);
      })
      .finally(() => this.asserting.delete(key));
  }

  /** Another node has taken a stream over that this node had begun, or the backplane has lost that this node has it. */
  taken(sessionId: string, stream: string): void {
    const { sessions, nodeId } = this.options;
    sessions.taken(sessionId, stream);
    this.assert(sessionId, stream, (id) => nodeLost(id, nodeId));
  }

  unwatch(follower: Follower): void {
    const { sessionId, stream } = follower;
    if (this.watchedOf(follower) !== undefined) this.watched.delete(sessionId, stream);
  }

  private setWatched(watched: Watched): void {
    const { sessionId, stream } = watched.follower;
    this.watched.set(sessionId, stream, watched);
  }

  /** A stream may have another follower by now. */
  private watchedOf(follower: Follower): Watched | undefined {
    const watched = this.watched.get(follower.sessionId, follower.stream);
    return watched?.follower === follower ? watched : undefined;
  }

  /** The executor has released the stream that `follower` follows. */
  released(follower: Follower): void {
    const watched = this.watchedOf(follower);
    if (watched === undefined) return;
    if (watched.executor === this.options.nodeId) {
      this.taken(follower.sessionId, follower.stream);
      return;
    }
    watched.executor = RELEASED;
    this.recoverFollowed(follower);
  }

  /**
   * Ends what a node has left on a stream that no connection of this node follows, if that node is dead. Never runs it again.
   * `false`: the node is alive, or that is not known.
   */
  async endDead(sessionId: string, stream: string, executor: string): Promise<boolean> {
    const { watch } = this.options;
    let lookedAt: number | undefined;
    if (!isReleased(executor)) {
      if (await watch.isAlive(executor)) return false;
      lookedAt = await watch.momentOfDeath(sessionId, executor);
      if (lookedAt === undefined) return false;
    }
    return this.end(sessionId, stream, executor, (id) => nodeLost(id, executor), lookedAt);
  }

  private async end(
    sessionId: string,
    stream: string,
    from: string,
    errorOf: (id: RequestId) => JsonRpcError,
    lookedAt: number | undefined,
  ): Promise<boolean> {
    const looked = lookedAt === undefined ? {} : { lookedAt };
    const claim = { type: 'claim' as const, stream, from, ...looked, revision: UNKNOWN_REVISION };
    const committed = await this.options.commitQueue.append(sessionId, [claim], true);
    const [result] = committed === 'gone' ? [] : committed.results;
    if (result?.status === 'dropped') {
      await this.foundElsewhere(sessionId, stream, from, result);
    } else if (result?.status === 'claimed') {
      const ids = parseStoredIds(result.requests);
      const { endOrRerun, nodeId } = this.options;
      if (from === nodeId) await endOrRerun.endAnswered(sessionId, stream, ids, errorOf);
      else await endOrRerun.end(sessionId, stream, ids, errorOf, from);
    }
    return result?.status !== 'stale';
  }

  /** A stream is not executed by `from`, as the backplane says. */
  private async foundElsewhere(
    sessionId: string,
    stream: string,
    from: string,
    { executor, unbegun, again }: Extract<OperationResult, { status: 'dropped' }>,
  ): Promise<void> {
    const { nodeId, sessions, endOrRerun, followers } = this.options;
    if (from === nodeId) {
      sessions.taken(sessionId, stream);
      const isForgotten = unbegun === true && again !== true;
      if (isForgotten) await endOrRerun.endForgotten(sessionId, stream);
      else if (executor !== undefined) sessions.forget(sessionId, stream);
    }
    const follower = followers.find(sessionId, stream);
    const watched = follower && this.watchedOf(follower);
    if (executor === undefined) {
      follower?.poke(); // ended, as the log knows
    } else if (follower?.ended === false && watched?.executor === nodeId) {
      this.unwatch(follower);
      if (unbegun === true) this.options.hand(follower, executor, watched.context);
      else this.watch(follower, executor, watched.context);
    } else if (isReleased(executor) && executor !== from) {
      // The session has another owner meanwhile, which has taken the stream from its executor.
      await this.endDead(sessionId, stream, executor);
    }
  }

  close(): void {
    this.closed = true;
    this.cancelCheck?.();
    this.watched.clear();
  }

  private schedule(): void {
    if (this.closed || this.watched.isEmpty()) return;
    this.cancelCheck ??= this.options.clock.after(LOOK_EVERY_MS, () => {
      void this.look().finally(() => {
        this.cancelCheck = undefined;
        this.schedule();
      });
    });
  }

  private async look(): Promise<void> {
    const { nodeId, watch } = this.options;
    const executors = this.watched.all().map(({ executor }) => executor);
    const others = executors.filter((executor) => executor !== nodeId);
    const dead = others.length > 0 ? await watch.findDead(others) : new Set<string>();
    this.checks += 1;
    const toAsk = new Map<string, StreamName[]>();
    for (const { follower, executor } of this.watched.all()) {
      if (dead.has(executor)) this.recoverFollowed(follower);
      else if (this.checks % CHECKS_PER_QUESTION === 0) {
        const streams = toAsk.get(executor) ?? [];
        streams.push(follower);
        toAsk.set(executor, streams);
      }
    }
    for (const [executor, streams] of toAsk) this.ask(executor, streams);
  }

  /**
   * Has the executor look whether it still runs these streams. A message may be lost: the executor is asked again. One
   * message names many streams, since each would cost Redis a script and a publication.
   */
  ask(executor: string, followed: StreamName[]): void {
    const { nodeId, membership } = this.options;
    if (isReleased(executor)) return;
    if (executor === nodeId) {
      for (const { sessionId, stream } of followed) this.check(sessionId, stream);
      return;
    }
    for (let at = 0; at < followed.length; at += MOST_CHECKED) {
      const streams = followed
        .slice(at, at + MOST_CHECKED)
        .map(({ sessionId, stream }) => ({ sessionId, stream }));
      membership.send(executor, { type: 'check', streams }).catch(() => undefined);
    }
  }

  private recoverFollowed(follower: Follower): void {
    const watched = this.watchedOf(follower);
    if (watched === undefined) return;
    this.unwatch(follower);
    // Before the claim is made, since a `check` may come as soon as that is carried out.
    const unpin = this.options.sessions.pin(follower.sessionId);
    this.recover(watched)
      .catch((error: unknown) => {
        this.options.logger.warn(`mcp-anynode: an orphan was not ended: ${String(error)}`);
        this.watch(follower, watched.executor, watched.context);
      })
      .finally(unpin);
  }

  private async recover({ follower, executor, context }: Watched): Promise<void> {
    const { sessionId, stream } = follower;
    const { commitQueue, sessions, endOrRerun, rerun, owned, watch } = this.options;
    const released = isReleased(executor);
    const lookedAt = released ? undefined : await watch.momentOfDeath(sessionId, executor);
    if (!released && lookedAt === undefined) {
      // The node is alive, or that is not known at present: it is looked at again.
      this.watch(follower, executor, context);
      return;
    }
    const revision = sessions.revisionOf(sessionId);
    // A node that will not run anything again has no use for the record, and is not to be listed as one that has a replica.
    const claim = {
      type: 'claim' as const,
      stream,
      from: executor,
      ...(lookedAt !== undefined && { lookedAt }),
      revision: rerun ? revision : UNKNOWN_REVISION,
      owned: rerun && owned,
    };
    const committed = await commitQueue.append(sessionId, [claim], true);
    if (committed === 'gone') return;
    const [result] = committed.results;
    if (result?.status === 'dropped' && result.executor !== undefined && !follower.ended) {
      // Released meanwhile, or somebody else's, who may die as well.
      if (result.unbegun === true) this.options.hand(follower, result.executor, context);
      else this.watch(follower, result.executor, context);
      return;
    }
    if (result?.status === 'stale') {
      this.watch(follower, executor, context);
      return;
    }
    if (result?.status !== 'claimed') {
      follower.poke(); // ended, as the log knows
      return;
    }
    if (result.owner !== undefined) {
      this.options.hand(follower, result.owner, context);
      return;
    }
    // Ours now, even if the client is gone again: nobody else can claim it while this node lives.
    this.attend(follower, context);
    const orphan: Orphan = {
      ...{ sessionId, stream, context },
      requests: parseStoredIds(result.requests),
      record: committed.reply.record,
      errorOf: (id) => nodeLost(id, executor),
      from: executor,
    };
    if (rerun) await endOrRerun.rerun(orphan);
    else await endOrRerun.end(sessionId, stream, orphan.requests, orphan.errorOf, orphan.from);
  }
}
