import type { OperationResult, StreamName } from '../../backplane/backplane.js';
import { isReleased, MOST_CHECKED, RELEASED } from '../../backplane/backplane.js';
import { UNKNOWN_REVISION } from '../../backplane/revision.js';
import type { JsonRpcError, RequestId } from '../../protocol/json/jsonrpc.js';
import { MapBySession } from '../../protocol/map-by-session.js';
import { RepeatedLook } from '../../protocol/timing/repeated-look.js';
import { parseStoredIds } from '../../protocol/json/parse-stored.js';
import { answerLost, nodeLost } from '../../replica/requests/request-errors.js';
import type { EndOrRerun, Orphan } from './end-or-rerun.js';
import type { DeliveryContext } from '../../replica/replica.js';
import type { OwnerHandover } from '../ownership/owner-handover.js';
import type { SessionService } from '../session-service.js';
import type { Follower } from '../../stream/followers/follower.js';
import type { NodeContext } from '../../stream/node-context.js';
import type { NodeWatch } from '../../stream/node-watch.js';
import { LOOK_EVERY_MS } from '../../stream/node-watch.js';

/**
 * How many looks pass between two questions to a living executor whether it still runs a stream (about 9 s). The first
 * question is sent when the stream gets a follower.
 */
const CHECKS_PER_QUESTION = 10;

export interface OrphanRecoveryParts {
  watch: NodeWatch;
  sessions: SessionService;
  endOrRerun: EndOrRerun;
  rerun: boolean;
  handovers: OwnerHandover;
}

interface Watched {
  follower: Follower;
  executor: string;
  context: DeliveryContext;
}

/**
 * Recovers the requests of dead nodes. A node that follows a stream of another executor looks after that executor. It looks
 * at nodes, not at streams, and only while there is such a follower. So a session without a connected client costs nothing.
 *
 * If several nodes claim a stream, compare-and-set lets one of them win.
 */
export class OrphanRecovery {
  /** What this node watches, by session and stream. */
  private readonly watched = new MapBySession<string, Watched>();
  /** Streams for which `confirmExecutor` is asking the backplane. */
  private readonly confirming = new Set<string>();
  private readonly looks: RepeatedLook;
  private checks = 0;

  constructor(
    private readonly node: NodeContext,
    private readonly parts: OrphanRecoveryParts,
  ) {
    this.looks = new RepeatedLook(node.clock, {
      everyMs: () => LOOK_EVERY_MS,
      isNeeded: () => !this.watched.isEmpty(),
      look: () => this.look(),
    });
  }

  /**
   * Watches the executor of a followed stream. `context` is that of the request with which the client came. Requests that
   * run again run with it.
   */
  watch(follower: Follower, executor: string, context: DeliveryContext): void {
    if (this.looks.isClosed || follower.ended) return;
    this.setWatched({ follower, executor, context });
    if (isReleased(executor)) this.recoverFollowed(follower);
    else this.askExecutor(executor, [follower]);
    this.looks.schedule();
  }

  /** Watches a followed stream that this node executes. Another node may take such a stream over. */
  watchOwn(follower: Follower, context: DeliveryContext): void {
    if (this.looks.isClosed || follower.ended) return;
    this.setWatched({ follower, executor: this.node.nodeId, context });
    this.looks.schedule();
  }

  /**
   * Hands the requests of a followed stream to the owner of their session, and watches the node that begins them. `messages`
   * are the requests, if the caller has them.
   */
  handOver(follower: Follower, owner: string, context: DeliveryContext, messages?: string[]): void {
    const { sessions, handovers } = this.parts;
    const { nodeId } = this.node;
    if (handovers.isClosed) return;
    if (owner !== nodeId && sessions.hasBegun(follower)) {
      // A failover has lost that this node has begun the stream. The owner must not begin it again.
      this.watchOwn(follower, context);
      this.confirmExecutor(follower.sessionId, follower.stream);
      return;
    }
    handovers.handOver(follower, owner, context, messages, (executor) => {
      if (executor === nodeId) this.watchOwn(follower, context);
      else this.watch(follower, executor, context);
    });
  }

  /** Recovers a followed stream at once, because its executor is known to be dead. */
  recoverDead(follower: Follower, executor: string, context: DeliveryContext): void {
    if (this.looks.isClosed || follower.ended) return;
    this.setWatched({ follower, executor, context });
    this.recoverFollowed(follower);
  }

  /**
   * Checks a stream that this node executes and that a follower waits for. If some of its requests do not run, a failover
   * has lost their answers, and they end with an error here.
   */
  endUnlessRunning(sessionId: string, stream: string, errorOf = answerLost): void {
    if (!this.parts.sessions.mayRun(sessionId, stream))
      this.confirmExecutor(sessionId, stream, errorOf);
  }

  /** Does the same as `endUnlessRunning` for a followed stream, unless another node is known to execute it. */
  endOwnUnlessRunning(follower: Follower): void {
    const executor = this.watchedOf(follower)?.executor ?? this.node.nodeId;
    if (executor === this.node.nodeId) this.endUnlessRunning(follower.sessionId, follower.stream);
  }

  /**
   * Asks the backplane again who executes a stream that this node has begun. If it is this node, the requests that do not
   * run end with an error. If it is another node, that node is watched from now on.
   */
  confirmExecutor(sessionId: string, stream: string, errorOf = answerLost): void {
    const key = `${sessionId} ${stream}`;
    if (this.looks.isClosed || this.confirming.has(key)) return;
    this.confirming.add(key);
    this.end(sessionId, stream, this.node.nodeId, errorOf, undefined)
      .catch((error: unknown) => {
        this.node.logger.warn(`mcp-anynode: a lost request did not end: ${String(error)}`);
      })
      .finally(() => this.confirming.delete(key));
  }

  /**
   * Handles the loss of a stream that this node had begun. Another node has taken it over, or a failover has lost that this
   * node began it.
   */
  executionLost(sessionId: string, stream: string): void {
    const { sessions } = this.parts;
    const { nodeId } = this.node;
    sessions.executionLost(sessionId, stream);
    this.confirmExecutor(sessionId, stream, (id) => nodeLost(id, nodeId));
  }

  unwatch(follower: Follower): void {
    const { sessionId, stream } = follower;
    if (this.watchedOf(follower) !== undefined) this.watched.delete(sessionId, stream);
  }

  private setWatched(watched: Watched): void {
    const { sessionId, stream } = watched.follower;
    this.watched.set(sessionId, stream, watched);
  }

  /** Returns the entry of this follower, unless its stream has another follower by now. */
  private watchedOf(follower: Follower): Watched | undefined {
    const watched = this.watched.get(follower.sessionId, follower.stream);
    return watched?.follower === follower ? watched : undefined;
  }

  /** Handles the message that the executor has released the stream of `follower`. */
  onOrphaned(follower: Follower): void {
    const watched = this.watchedOf(follower);
    if (watched === undefined) return;
    if (watched.executor === this.node.nodeId) {
      this.executionLost(follower.sessionId, follower.stream);
      return;
    }
    watched.executor = RELEASED;
    this.recoverFollowed(follower);
  }

  /**
   * Ends the requests of a stream that no connection of this node follows, if their executor is dead or has released them.
   * Never runs them again. Returns false if the executor is alive, or if that is not known.
   */
  async endDead(sessionId: string, stream: string, executor: string): Promise<boolean> {
    const { watch } = this.parts;
    let lookedAt: number | undefined;
    if (!isReleased(executor)) {
      if (await watch.isAlive(executor)) return false;
      lookedAt = await watch.momentSeenDead(sessionId, executor);
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
    const committed = await this.node.commitQueue.store(sessionId, [claim], true);
    const [result] = committed === 'gone' ? [] : committed.results;
    if (result?.status === 'dropped') {
      await this.foundElsewhere(sessionId, stream, from, result);
    } else if (result?.status === 'claimed') {
      const ids = parseStoredIds(result.requests);
      const { endOrRerun } = this.parts;
      const { nodeId } = this.node;
      const { trace } = result;
      if (from === nodeId) await endOrRerun.endAnswered(sessionId, stream, ids, errorOf, trace);
      else await endOrRerun.end(sessionId, stream, ids, errorOf, from, trace);
    }
    return result?.status !== 'stale';
  }

  /** Handles the reply that `from` is not the executor of a stream. */
  private async foundElsewhere(
    sessionId: string,
    stream: string,
    from: string,
    { executor, unbegun, again }: Extract<OperationResult, { status: 'dropped' }>,
  ): Promise<void> {
    const { sessions, endOrRerun } = this.parts;
    const { nodeId, followers } = this.node;
    if (from === nodeId) {
      sessions.executionLost(sessionId, stream);
      const isForgotten = unbegun === true && again !== true;
      if (isForgotten) await endOrRerun.endForgotten(sessionId, stream);
      else if (executor !== undefined) sessions.forget(sessionId, stream);
    }
    const follower = followers.find(sessionId, stream);
    const watched = follower && this.watchedOf(follower);
    if (executor === undefined) {
      follower?.poke(); // the stream has ended, and the follower finds its end in the log
    } else if (follower?.ended === false && watched?.executor === nodeId) {
      this.unwatch(follower);
      if (unbegun === true) this.handOver(follower, executor, watched.context);
      else this.watch(follower, executor, watched.context);
    } else if (isReleased(executor) && executor !== from) {
      // The session has another owner by now, which has released the stream in its executor's place.
      await this.endDead(sessionId, stream, executor);
    }
  }

  close(): void {
    this.looks.close();
    this.watched.clear();
  }

  private async look(): Promise<void> {
    const { watch } = this.parts;
    const { nodeId } = this.node;
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
    for (const [executor, streams] of toAsk) this.askExecutor(executor, streams);
  }

  /**
   * Asks an executor to check whether it still runs these streams. The message may be lost, so the question is repeated
   * later. One message names many streams, because each message costs Redis a script and a publication.
   */
  askExecutor(executor: string, followed: StreamName[]): void {
    const { nodeId, backplane } = this.node;
    if (isReleased(executor)) return;
    if (executor === nodeId) {
      for (const { sessionId, stream } of followed) this.endUnlessRunning(sessionId, stream);
      return;
    }
    for (let at = 0; at < followed.length; at += MOST_CHECKED) {
      const streams = followed
        .slice(at, at + MOST_CHECKED)
        .map(({ sessionId, stream }) => ({ sessionId, stream }));
      backplane.send(executor, { type: 'check', streams }).catch(() => undefined);
    }
  }

  private recoverFollowed(follower: Follower): void {
    const watched = this.watchedOf(follower);
    if (watched === undefined) return;
    this.unwatch(follower);
    // Pin the session before the claim, because the message `check` of this stream may arrive as soon as the claim is stored.
    const unpin = this.parts.sessions.pin(follower.sessionId);
    this.recover(watched)
      .catch((error: unknown) => {
        this.node.logger.warn(`mcp-anynode: an orphan was not ended: ${String(error)}`);
        this.watch(follower, watched.executor, watched.context);
      })
      .finally(unpin);
  }

  private async recover({ follower, executor, context }: Watched): Promise<void> {
    const { sessionId, stream } = follower;
    const { sessions, endOrRerun, rerun, watch } = this.parts;
    const { commitQueue } = this.node;
    const { owned } = this.node.settings;
    const released = isReleased(executor);
    const lookedAt = released ? undefined : await watch.momentSeenDead(sessionId, executor);
    if (!released && lookedAt === undefined) {
      // The node is alive, or that is not known now. It will be looked at again.
      this.watch(follower, executor, context);
      return;
    }
    const revision = sessions.revisionOf(sessionId);
    // A node that will not run the requests again does not need the record, and must not be listed as having a replica.
    const claim = {
      type: 'claim' as const,
      stream,
      from: executor,
      ...(lookedAt !== undefined && { lookedAt }),
      revision: rerun ? revision : UNKNOWN_REVISION,
      owned: rerun && owned,
    };
    const committed = await commitQueue.store(sessionId, [claim], true);
    if (committed === 'gone') return;
    const [result] = committed.results;
    if (result?.status === 'dropped' && result.executor !== undefined && !follower.ended) {
      // The stream was released, or has another executor, which may die as well.
      if (result.unbegun === true) this.handOver(follower, result.executor, context);
      else this.watch(follower, result.executor, context);
      return;
    }
    if (result?.status === 'stale') {
      this.watch(follower, executor, context);
      return;
    }
    if (result?.status !== 'claimed') {
      follower.poke(); // the stream has ended, and the follower finds its end in the log
      return;
    }
    if (result.owner !== undefined) {
      this.handOver(follower, result.owner, context);
      return;
    }
    // The stream is this node's now, even if the client is gone again. No other node can claim it while this node lives.
    this.watchOwn(follower, context);
    const orphan: Orphan = {
      ...{ sessionId, stream, context },
      requests: parseStoredIds(result.requests),
      record: committed.reply.record,
      errorOf: (id) => nodeLost(id, executor),
      from: executor,
    };
    if (rerun) await endOrRerun.rerun(orphan);
    else {
      const { requests, errorOf, from } = orphan;
      await endOrRerun.end(sessionId, stream, requests, errorOf, from, context.trace);
    }
  }
}
