import type { LogId, NodeMessage, OperationResult } from '../../backplane/backplane.js';
import type { Committed } from '../../stream/commit-queue.js';
import type { JsonRpcMessage, RequestId } from '../../protocol/json/jsonrpc.js';
import { isInitialized, isNotification } from '../../protocol/json/jsonrpc.js';
import { LogLimit } from '../../protocol/log-limit.js';
import { packContext } from '../messages/delivery-context.js';
import type { LiveSession } from '../../replica/live-session.js';
import { endOf } from '../../stream/shown-on.js';
import { deliverToFollowers } from '../../stream/followers/deliver-to-followers.js';
import { answerToCancelled, nodeLost } from '../../replica/requests/request-errors.js';
import type { NodeContext } from '../../stream/node-context.js';
import type { ReplicaPool } from '../../replica/replica-pool.js';
import type { DeliveryContext } from '../../replica/replica.js';
import type { NodeLifetime } from '../node-lifetime.js';
import type { NodeWatch } from '../../stream/node-watch.js';

/** How many owned sessions are looked up at a time. */
const BATCH = 100;
/** When nodes notice a failover, the steps that it lost are younger than this. */
const LATELY_MS = 60_000;

/**
 * Knows which sessions this node owns (`affinity: 'owner'`), and gives up those that it has lost. The backplane decides: it
 * refuses each step of a node that is no longer the owner. So correctness does not depend on what this node believes. This
 * class makes sure that a wrong belief does not last.
 */
export class Ownership {
  private readonly limit: LogLimit;
  /** Sessions that this node has lately taken from a dead owner, with the time of each, the oldest first. */
  private readonly takenOverAt = new Map<string, number>();

  constructor(
    private readonly node: NodeContext,
    private readonly pool: ReplicaPool,
    private readonly watch: NodeWatch,
    private readonly servers: { isReachable(): Promise<boolean> },
    private readonly lifetime: Pick<NodeLifetime, 'isClosing'>,
  ) {
    this.limit = new LogLimit(node.clock);
  }

  /**
   * Sends messages to the other nodes that they are for, as the results of their commit say. If such a node is dead and this
   * node takes its place, `handle` handles the message here.
   *
   * Resolves when the messages are sent. Does not wait for those whose node may be dead, because finding that out takes a
   * second. Never rejects.
   */
  async passOn(
    live: LiveSession,
    messages: JsonRpcMessage[],
    results: OperationResult[],
    context: DeliveryContext,
    handle: (message: JsonRpcMessage) => Promise<void>,
  ): Promise<void> {
    const { node } = this;
    for (const [at, message] of messages.entries()) {
      const result = results[at];
      if (result?.status !== 'received' || result.handler === undefined) continue;
      const { handler, unbegun, logged } = result;
      const warn = (error: unknown): void => {
        node.logger.warn(`mcp-anynode: a message was not passed on: ${String(error)}`);
      };
      if (unbegun !== undefined) {
        // The client gets its acknowledgment once the message is stored. It does not wait for the end of the request.
        this.endUnbegun(live.id, unbegun, message).catch(warn);
        continue;
      }
      // The commit has sent `initialized` to its handler already. If that handler is a dead owner, the next owner builds its
      // replica from the record, which includes `initialized`.
      const told = isInitialized(message);
      if (told && node.settings.owned) continue;
      if (await this.watch.seemsAlive(handler)) {
        if (!told) this.send(live.id, handler, message, logged, context);
        continue;
      }
      const unpin = live.pin();
      this.successorOf(handler, live, told)
        .then(async (executor) => {
          if (executor === node.nodeId) await handle(message);
          else if (!told) this.send(live.id, executor, message, logged, context);
        })
        .catch(warn)
        .finally(() => {
          unpin();
          this.pool.dropIfEmpty(live);
        });
    }
  }

  /**
   * Finds the node that is to handle a message for `handler`. That is `handler` itself, unless it is dead. Otherwise it is
   * the next owner of the session, or with `anyNode` (the message is not for the owner) this node.
   */
  private async successorOf(handler: string, live: LiveSession, anyNode: boolean): Promise<string> {
    const { watch } = this;
    const { commitQueue, nodeId } = this.node;
    while (await watch.isDead(handler)) {
      if (anyNode) return nodeId;
      const lookedAt = await watch.momentSeenDead(live.id, handler);
      if (lookedAt === undefined) break;
      const assign = { type: 'assign' as const, stream: undefined, dead: handler, lookedAt };
      const committed = await commitQueue.store(
        live.id,
        [{ ...assign, revision: live.revision }],
        true,
      );
      if (committed === 'gone') break;
      const [result] = committed.results;
      if (result?.status === 'assigned') {
        if (result.executor === nodeId) this.tookOver(live.id);
        return result.executor;
      }
      // Otherwise the look was too old when the step was carried out.
    }
    return handler;
  }

  /** Sends a notification at most once. The client asked for no answer, so a lost notification is not sent again. */
  private send(
    sessionId: string,
    nodeId: string,
    message: JsonRpcMessage,
    logged: LogId | undefined,
    given: DeliveryContext,
  ): void {
    const context = packContext(given);
    const sent: NodeMessage =
      logged === undefined
        ? { type: 'deliver', sessionId, message: JSON.stringify(message), context }
        : { type: 'logged', sessionId, logId: logged, context };
    this.node.backplane.send(nodeId, sent).catch((error: unknown) => {
      this.node.logger.warn(`mcp-anynode: a notification was not sent on: ${String(error)}`);
    });
  }

  /**
   * Ends a request that the client has cancelled before a node began it. If a node has begun it meanwhile, that executor is
   * told.
   */
  private async endUnbegun(
    sessionId: string,
    stream: string,
    cancelled: JsonRpcMessage,
  ): Promise<void> {
    const { node } = this;
    const id = (isNotification(cancelled) ? cancelled.params?.requestId : undefined) as RequestId;
    const answer = answerToCancelled(node, id, stream);
    const text = answer && JSON.stringify(answer);
    const end = endOf(stream, id, text, { onlyIf: { unbegun: true } });
    let result: OperationResult | undefined;
    do {
      const committed = await node.commitQueue.store(sessionId, end, true);
      if (committed === 'gone') return;
      [result] = committed.results;
      // No node has begun the request, so no other node tells telemetry of its end.
      if (result?.status === 'appended') node.telemetry?.requestEnded({ stream, id }, undefined);
      deliverToFollowers(node.followers, sessionId, end, committed.results);
      // A repeat does not say whether the first try ended the request. Another commit says so.
    } while (result?.status === 'repeated');
    if (result?.status !== 'dropped' || result.executor === undefined) return;
    // Tell the current executor. The node that was to run the request when the cancellation was stored may be dead, and
    // replaced.
    if (result.executor === node.nodeId) {
      this.pool.get(sessionId)?.deliver(cancelled);
    } else {
      const message = JSON.stringify(cancelled);
      await node.backplane.send(result.executor, { type: 'deliver', sessionId, message });
    }
  }

  /**
   * Discards the replicas of sessions that this node no longer owns. Other nodes may have taken it for dead, or a failover
   * may have lost that it became the owner. If the session came back to this node, an old replica would run on without the
   * changes that other owners made.
   */
  async verify(): Promise<void> {
    const owned = this.node.settings.owned ? this.pool.all().filter((live) => live.hasReplica) : [];
    for (let at = 0; at < owned.length; at += BATCH) {
      await Promise.all(
        owned.slice(at, at + BATCH).map(async (live) => {
          const identity = await this.node.backplane.identify(live.id);
          if (identity === undefined) this.node.notices.ended(live.id);
          else if (identity.owner !== this.node.nodeId) this.discard(live);
        }),
      );
    }
  }

  /**
   * True if this node was paused past its lease since `asked` and the record now names another owner. The commit sent at
   * `asked` may still have named this node.
   */
  async isFenced(live: LiveSession, asked: number): Promise<boolean> {
    const { settings, clock } = this.node;
    const wasPaused = clock.elapsed() - asked > settings.leaseMs;
    return settings.owned && wasPaused && this.discardIfLost(live);
  }

  /**
   * Handles the message that another node owns the session now. The message may be late, and this node may own the session
   * again, so the backplane is asked.
   */
  onDisowned(sessionId: string): void {
    const live = this.pool.get(sessionId);
    if (live === undefined) return;
    this.discardIfLost(live).catch((error: unknown) => {
      // The backplane refuses each step of an outdated replica in any case.
      this.node.logger.warn(`mcp-anynode: a session may be another node's: ${String(error)}`);
    });
  }

  /** Asks the backplane whether this node has lost the session. If so, discards its replica here. */
  async discardIfLost(live: LiveSession): Promise<boolean> {
    const { backplane, nodeId } = this.node;
    const identity = await backplane.identify(live.id);
    if (identity?.owner === nodeId) return false;
    if (identity === undefined) this.node.notices.ended(live.id);
    else this.discard(live);
    return true;
  }

  /**
   * Discards the replica here if the results of a commit name another node as the owner. A request that another node has
   * begun does not prove that it owns the session: that node may be dead, and this one its successor.
   */
  discardIfElsewhere(live: LiveSession, { results }: Committed): void {
    const elsewhere = results.some(
      (result) =>
        (result.status === 'opened' && result.owner !== undefined) ||
        (result.status === 'assigned' && !result.begun && result.executor !== this.node.nodeId),
    );
    if (elsewhere) this.discard(live);
  }

  /**
   * Gives the session up if this node closes or cannot reach its server, so that the other node becomes the owner. The node
   * calls this before it begins a request that reached another node. Returns false if the session is kept.
   *
   * A session with a running request is kept, because that request may have reached the server. A node that closes keeps each
   * session in use, and gives it up to the first request that comes when it is idle.
   */
  async giveUp(sessionId: string): Promise<boolean> {
    const { node, pool } = this;
    const closing = this.lifetime.isClosing();
    if (!closing && (await this.servers.isReachable())) return false;
    const live = pool.get(sessionId);
    if (live?.busy === true || (closing && live?.idle === false)) return false;
    if (!closing) {
      this.limit.pass('given up', (more) => {
        node.logger.warn(
          `mcp-anynode: the server cannot be reached: a session is given up to another node${more}`,
        );
      });
    }
    if (live !== undefined) void pool.evict(live);
    // The other node must be told only after this is stored. There may also be no replica here, whose eviction would give
    // the session up.
    const committed = await node.commitQueue.store(sessionId, [{ type: 'forget' }], true);
    return committed !== 'gone';
  }

  /**
   * Notes that this node has become the owner of a session whose owner was dead. `request`: the stream of the request that
   * moved the session, and its trace. Left out: a notification moved the session.
   */
  tookOver(sessionId: string, request?: { stream: string; trace: string | undefined }): void {
    const { telemetry } = this.node;
    telemetry?.count('takeovers', { of: 'session', node: 'other' });
    telemetry?.happened('takeover', { sessionId, stream: undefined, trace: undefined, ...request });
    this.takenOverAt.delete(sessionId); // keeps the map in order of time
    this.takenOverAt.set(sessionId, this.node.clock.elapsed());
    this.forgetOldest();
    this.limit.pass('took over', (more) => {
      this.node.logger.info?.(`mcp-anynode: took over a session of a dead node${more}`);
    });
  }

  /** Sessions that this node has lately taken from a dead owner. A failover may lose that step. */
  takenOverLately(): Set<string> {
    this.forgetOldest();
    return new Set(this.takenOverAt.keys());
  }

  private forgetOldest(): void {
    const oldest = this.node.clock.elapsed() - LATELY_MS;
    for (const [sessionId, at] of this.takenOverAt) {
      if (at >= oldest) return;
      this.takenOverAt.delete(sessionId);
    }
  }

  /**
   * Discards a replica of a session of which this node has just become the owner. The replica is of an earlier time when this
   * node was the owner, and lacks what later owners did. This node may have been paused all the while, so that it did not
   * hear of them. The session stays this node's, and gets a new replica.
   */
  discardOutdated(sessionId: string): void {
    const live = this.pool.get(sessionId);
    if (live?.hasReplica !== true) return;
    live.failAll((id) => nodeLost(id, this.node.nodeId)).catch(() => undefined); // this node closes
    void live.evict();
  }

  /** Discards the replica of a session that another node owns now. Requests that run on it end with an error. */
  discard(live: LiveSession): void {
    if (!live.hasReplica || this.pool.get(live.id) !== live) return;
    this.limit.pass('lost', (more) => {
      this.node.logger.warn(`mcp-anynode: another node has taken a session over${more}`);
    });
    live.failAll((id) => nodeLost(id, this.node.nodeId)).catch(() => undefined); // closed: its requests are orphans
    void this.pool.evict(live);
  }
}
