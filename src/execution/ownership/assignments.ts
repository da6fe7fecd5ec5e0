import type { LogId } from '../../backplane/backplane.js';
import { justBefore } from '../../backplane/backplane.js';
import { UNKNOWN_REVISION } from '../../backplane/revision.js';
import { untilReached } from '../../protocol/timing/backoff.js';
import { AnynodeError } from '../../protocol/errors.js';
import type { JsonRpcError, JsonRpcRequest, RequestId } from '../../protocol/json/jsonrpc.js';
import { isRequest } from '../../protocol/json/jsonrpc.js';
import { parseStoredMessage, parseStoredIds } from '../../protocol/json/parse-stored.js';
import type { LiveSession } from '../../replica/live-session.js';
import type { RunningCount } from '../../replica/requests/running-calls.js';
import { nodeLost } from '../../replica/requests/request-errors.js';
import type { NodeContext } from '../../stream/node-context.js';
import type { Orphan, EndOrRerun } from '../recovery/end-or-rerun.js';
import type { Ownership } from './ownership.js';
import { readRequestHistory } from '../recovery/request-history.js';
import type { ReplicaPool } from '../../replica/replica-pool.js';
import type { CommitOutcome } from '../commit-outcome.js';
import type { RequestRunner } from '../requests/request-runner.js';
import type { DeliveryContext } from '../../replica/replica.js';

/** The executor of a stream, and whether it has begun. */
export interface Placed {
  executor: string;
  begun: boolean;
}

/** A node that was found dead. `lookedAt` is the time of that look, by the clock of the session's backplane server. */
export interface Dead {
  nodeId: string;
  lookedAt: number;
}

interface Assigned extends Omit<Orphan, 'errorOf' | 'from'> {
  askedAt: number;
  /** True if another node had begun the requests. */
  again: boolean;
  /** The place of the stream's last message in the log. */
  logId: LogId | undefined;
}

/**
 * Assigns requests that no node has begun to the owner of their session, and runs those that become this node's. Such
 * requests reached a node that does not own the session, or their owner died before it began them.
 */
export class Assignments {
  constructor(
    private readonly node: NodeContext,
    private readonly parts: {
      pool: ReplicaPool;
      ownership: Ownership;
      endOrRerun: EndOrRerun;
      runner: RequestRunner;
      /** Counts requests that are neither answered nor running yet. */
      arriving: RunningCount;
    },
  ) {}

  /**
   * Assigns the requests of a stream that no node has begun to the session's owner. If `dead` was the owner, this node
   * becomes the owner. If the requests become this node's, this node runs them.
   *
   * - `undefined`: the stream or the session has ended.
   * - `stale`: too much time had passed since the look that found `dead` dead. The step assigned nothing.
   */
  async assign(
    { sessionId, stream }: { sessionId: string; stream: string },
    dead: Dead | undefined,
    context: DeliveryContext,
    inline: string[] | undefined,
  ): Promise<Placed | 'stale' | undefined> {
    const live = this.parts.pool.getOrCreate(sessionId);
    const leave = this.enter(live);
    try {
      const { revision } = live;
      const operation = {
        ...{ type: 'assign' as const, stream, dead: dead?.nodeId, revision },
        ...(dead !== undefined && { lookedAt: dead.lookedAt }),
      };
      const askedAt = this.node.clock.elapsed();
      const committed = await this.node.commitQueue.store(sessionId, [operation], true);
      if (committed === 'gone') return undefined;
      const [result] = committed.results;
      if (result?.status === 'stale') return 'stale';
      if (result?.status !== 'assigned') return undefined;
      this.parts.ownership.discardIfElsewhere(live, committed);
      if (dead !== undefined && result.executor === this.node.nodeId) {
        this.parts.ownership.tookOver(sessionId, { stream, trace: context.trace });
      }
      if (result.requests !== undefined) {
        const run = { askedAt, sessionId, stream, context, record: committed.reply.record };
        const ids = parseStoredIds(result.requests);
        const leaveLater = this.enter(live);
        const { again = false, logId } = result;
        void this.beginAssigned(live, { ...run, requests: ids, again, logId }, inline)
          .catch((error: unknown) => this.node.logger.error(`mcp-anynode: ${String(error)}`))
          .finally(leaveLater);
      }
      return { executor: result.executor, begun: result.begun };
    } finally {
      leave();
    }
  }

  /** Keeps this node from closing until the returned function is called: a request is on its way to the replica. */
  private enter(live: LiveSession): () => void {
    const unpin = live.pin();
    this.parts.arriving.begin();
    return () => {
      unpin();
      this.parts.arriving.end();
      this.parts.pool.dropIfEmpty(live);
    };
  }

  private beginAssigned(
    live: LiveSession,
    assigned: Assigned,
    inline: string[] | undefined,
  ): Promise<void> {
    const { endOrRerun } = this.parts;
    if (assigned.again) {
      const errorOf = (id: RequestId): JsonRpcError => nodeLost(id, undefined);
      return endOrRerun.rerun({ ...assigned, errorOf, from: undefined });
    }
    return endOrRerun.beginOnce(assigned, () => this.runAssigned(live, assigned, inline));
  }

  private async runAssigned(
    live: LiveSession,
    assigned: Assigned,
    inline: string[] | undefined,
  ): Promise<void> {
    const { sessionId, stream, context, record, requests: ids } = assigned;
    const messages = inline === undefined ? await this.read(assigned) : requestsOf(inline);
    // Some requests may have been cancelled, or the log may have been trimmed.
    const requests = messages.filter(({ id }) => ids.includes(id));
    const missing = ids.filter((id) => !requests.some((request) => request.id === id));
    await this.parts.endOrRerun.end(
      sessionId,
      stream,
      missing,
      (id) => nodeLost(id, undefined),
      undefined,
      context.trace,
    );
    const outcome: CommitOutcome = {
      askedAt: assigned.askedAt,
      revision: UNKNOWN_REVISION,
      initialized: false,
      ...(record && { record }),
    };
    const taken = { how: 'owner_hop' as const, trace: context.trace };
    for (const request of requests)
      this.node.telemetry?.requestTaken(stream, request, sessionId, taken);
    await this.parts.runner.run(live, requests, stream, outcome, context);
  }

  /**
   * Reads the requests, and tries again until the log could be read. No other node would begin or end the requests, since
   * they are assigned to this node.
   */
  private async read(assigned: Assigned): Promise<JsonRpcRequest[]> {
    try {
      return await untilReached(() => this.logged(assigned), this.node.clock);
    } catch (error) {
      if (error instanceof AnynodeError && error.code === 'closed') throw error;
      this.node.logger.error(`mcp-anynode: a request could not be read: ${String(error)}`);
      return [];
    }
  }

  /**
   * Reads the requests from the log. No node has begun them, so the last one is the stream's last message. Most streams have
   * one request, so that one entry is read first.
   */
  private async logged({
    sessionId,
    stream,
    requests,
    logId,
  }: Assigned): Promise<JsonRpcRequest[]> {
    if (logId !== undefined) {
      const end = await readRequestHistory(this.node, sessionId, stream, justBefore(logId));
      if (requests.every((id) => end.requests.has(id))) return [...end.requests.values()];
    }
    return [...(await readRequestHistory(this.node, sessionId, stream)).requests.values()];
  }
}

/**
 * Picks the requests out of the messages that came with `run`. A message that is not a request is left out, and its id ends
 * with an error.
 */
function requestsOf(texts: string[]): JsonRpcRequest[] {
  return texts.flatMap((text) => {
    const message = parseStoredMessage(text);
    return message !== undefined && isRequest(message) ? message : [];
  });
}
