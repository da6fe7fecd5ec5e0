import type { LogId, NodeMessage, OperationResult } from '../backplane/backplane.js';
import type { Committed } from '../stream/commit-queue.js';
import type { JsonRpcMessage, RequestId } from '../protocol/jsonrpc.js';
import { isInitialized, isNotification } from '../protocol/jsonrpc.js';
import { LogLimit } from '../protocol/log-limit.js';
import { packContext } from './delivery-context.js';
import type { LiveSession } from '../replica/live-session.js';
import { endOf } from '../stream/shown-on.js';
import { deliverToFollowers } from '../stream/deliver-to-followers.js';
import { answerToCancelled, nodeLost } from '../replica/requests/request-errors.js';
import type { NodeContext } from '../stream/node-context.js';
import type { ReplicaPool } from '../replica/replica-pool.js';
import type { DeliveryContext } from '../replica/replica.js';
import type { NodeWatch } from '../stream/node-watch.js';

/** Owned sessions are asked for together, so many at a time. */
const BATCH = 100;
/** What a failover loses is not older than this when nodes have noticed it. */
const LATELY_MS = 60_000;

/**
 * Which node a session belongs to (`affinity: 'owner'`), and what follows from it here. The backplane decides: every
 * step that an owner takes is refused there once another node is the owner, so that nothing depends on what this node
 * believes. What is here makes sure that it does not believe it for long.
 */
export class Ownership {
  private readonly limit: LogLimit;
  /** Sessions that this node has lately taken from a dead owner, with the time. */
  private readonly taken = new Map<string, number>();

  constructor(
    private readonly node: NodeContext,
    private readonly pool: ReplicaPool,
    private readonly watch: NodeWatch,
    private readonly servers: { isReachable(): Promise<boolean> },
  ) {
    this.limit = new LogLimit(node.clock);
  }

  /**
   * Sends messages on that are for other nodes, as the commit says that stored them. Where such a node is dead, `handle`
   * handles its message here. Resolves when all are sent, but for those whose node may be dead: to find that out takes a
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
        // Stored is acknowledged: how long the request takes to end is not for its client to wait.
        this.endUnbegun(live.id, unbegun, message).catch(warn);
        continue;
      }
      // The script has told the handler already; an owner that is dead gets a successor, which is built from the record.
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
   * The node that is to handle a message of `handler`: that node, unless it is dead. Then it is this one, or, if the message
   * is for the owner of the session, the next owner. `anyNode`: it is not for the owner.
   */
  private async successorOf(handler: string, live: LiveSession, anyNode: boolean): Promise<string> {
    const { watch } = this;
    const { commitQueue, nodeId } = this.node;
    while (await watch.isDead(handler)) {
      if (anyNode) return nodeId;
      const lookedAt = await watch.momentOfDeath(live.id, handler);
      if (lookedAt === undefined) break;
      const assign = { type: 'assign' as const, stream: undefined, dead: handler, lookedAt };
      const committed = await commitQueue.append(
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
      // Else the look was too old when the step was carried out.
    }
    return handler;
  }

  /** At most once: what comes of it is the client's to see, and it asked for no answer. */
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
    this.node.membership.send(nodeId, sent).catch((error: unknown) => {
      this.node.logger.warn(`mcp-anynode: a notification was not sent on: ${String(error)}`);
    });
  }

  /** The client gives up a request that nobody has begun: it ends here. Was it begun meanwhile, its executor is told. */
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
      const committed = await node.commitQueue.append(sessionId, end, true);
      if (committed === 'gone') return;
      [result] = committed.results;
      deliverToFollowers(node.followers, sessionId, end, committed.results);
      // Carried out or not, by a step whose reply was lost: done again it tells.
    } while (result?.status === 'repeated');
    if (result?.status !== 'dropped' || result.executor === undefined) return;
    // Not the one that was to run it when the cancellation was stored: that one may be dead, and have a successor.
    if (result.executor === node.nodeId) {
      this.pool.get(sessionId)?.deliver(cancelled);
    } else {
      const message = JSON.stringify(cancelled);
      await node.membership.send(result.executor, { type: 'deliver', sessionId, message });
    }
  }

  /**
   * Discards the server objects of sessions that this node does not own any more: it was taken for dead, or a failover has lost
   * that it became the owner. Otherwise such an object would run on if the session came back here, without what its successors
   * had done.
   */
  async verify(): Promise<void> {
    const owned = this.node.settings.owned ? this.pool.all().filter((live) => live.hasReplica) : [];
    for (let at = 0; at < owned.length; at += BATCH) {
      await Promise.all(
        owned.slice(at, at + BATCH).map(async (live) => {
          const identity = await this.node.membership.identify(live.id);
          if (identity === undefined) this.node.notices.ended(live.id);
          else if (identity.owner !== this.node.nodeId) this.lost(live);
        }),
      );
    }
  }

  /**
   * Whether another node may own the session by now, and does, though the backplane has just said that this one does: the
   * node was paused for longer than its lease since it had asked, at `asked`.
   */
  async isFenced(live: LiveSession, asked: number): Promise<boolean> {
    const { settings, clock } = this.node;
    const wasPaused = clock.elapsed() - asked > settings.leaseMs;
    return settings.owned && wasPaused && this.isLost(live);
  }

  /** A message says that another node owns the session now. It may be late: this node may own the session again. */
  onDisowned(sessionId: string): void {
    const live = this.pool.get(sessionId);
    if (live === undefined) return;
    this.isLost(live).catch((error: unknown) => {
      // Each step of a server object of the past is refused in any case.
      this.node.logger.warn(`mcp-anynode: a session may be another node's: ${String(error)}`);
    });
  }

  /** Asks the backplane whether another node owns the session. If so, discards what is here of it. */
  async isLost(live: LiveSession): Promise<boolean> {
    const { membership, nodeId } = this.node;
    const identity = await membership.identify(live.id);
    if (identity?.owner === nodeId) return false;
    if (identity === undefined) this.node.notices.ended(live.id);
    else this.lost(live);
    return true;
  }

  /**
   * The backplane has named another node: a server object that is still here is of the past. A request that another node
   * had begun says nothing: that node may be dead, and this one its successor.
   */
  found(live: LiveSession, { results }: Committed): void {
    const elsewhere = results.some(
      (result) =>
        (result.status === 'opened' && result.owner !== undefined) ||
        (result.status === 'assigned' && !result.begun && result.executor !== this.node.nodeId),
    );
    if (elsewhere) this.lost(live);
  }

  /**
   * Before a request of another node is begun: gives the session up where the server behind this node cannot be reached, so
   * that the other node becomes the owner. Not while a request of the session runs here, which may have reached the server.
   * `false`: it is not given up.
   */
  async giveUp(sessionId: string): Promise<boolean> {
    const { node, pool } = this;
    if (await this.servers.isReachable()) return false;
    const live = pool.get(sessionId);
    if (live?.busy === true) return false;
    this.limit.pass('given up', (more) => {
      node.logger.warn(
        `mcp-anynode: the server cannot be reached: a session is given up to another node${more}`,
      );
    });
    if (live !== undefined) void pool.evict(live);
    // Known to be stored before the other node is told; and there may be no server object here whose end says it.
    const committed = await node.commitQueue.append(sessionId, [{ type: 'forget' }], true);
    return committed !== 'gone';
  }

  /** This node owns a session now whose owner is dead. */
  tookOver(sessionId: string): void {
    this.taken.delete(sessionId); // then the latest one is the last
    this.taken.set(sessionId, this.node.clock.elapsed());
    this.forgetOldest();
    this.limit.pass('took over', (more) => {
      this.node.logger.info?.(`mcp-anynode: took over a session of a dead node${more}`);
    });
  }

  /** Sessions that this node has lately taken from a dead owner: a failover may lose that. */
  lately(): Set<string> {
    this.forgetOldest();
    return new Set(this.taken.keys());
  }

  private forgetOldest(): void {
    const oldest = this.node.clock.elapsed() - LATELY_MS;
    for (const [sessionId, at] of this.taken) {
      if (at >= oldest) return;
      this.taken.delete(sessionId);
    }
  }

  /** Another node owns the session: its server object here is discarded, and what that was doing ends with an error. */
  lost(live: LiveSession): void {
    if (!live.hasReplica || this.pool.get(live.id) !== live) return;
    this.limit.pass('lost', (more) => {
      this.node.logger.warn(`mcp-anynode: another node has taken a session over${more}`);
    });
    live.failAll((id) => nodeLost(id, this.node.nodeId)).catch(() => undefined); // closed: then its requests are orphans
    void this.pool.evict(live);
  }
}
