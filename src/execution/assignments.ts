import type { LogId } from '../backplane/backplane.js';
import { justBefore } from '../backplane/backplane.js';
import { UNKNOWN_REVISION } from '../backplane/revision.js';
import { backOff, LOG_PAUSES } from '../protocol/backoff.js';
import { AnynodeError, FailedStep } from '../protocol/errors.js';
import type { JsonRpcError, JsonRpcRequest, RequestId } from '../protocol/jsonrpc.js';
import { isRequest } from '../protocol/jsonrpc.js';
import { parseStoredMessage, parseStoredIds } from '../protocol/parse-stored.js';
import type { LiveSession } from '../replica/live-session.js';
import type { RunningCount } from '../replica/requests/running-calls.js';
import { nodeLost } from '../replica/requests/request-errors.js';
import type { NodeContext } from '../stream/node-context.js';
import type { Orphan, EndOrRerun } from './recovery/end-or-rerun.js';
import type { Ownership } from './ownership.js';
import { readRequestHistory } from './recovery/request-history.js';
import type { ReplicaPool } from '../replica/replica-pool.js';
import type { CommitOutcome } from './commit-outcome.js';
import type { RequestRunner } from './request-runner.js';
import type { DeliveryContext } from '../replica/replica.js';

/** Who executes a stream, or is to. */
export interface Placed {
  executor: string;
  begun: boolean;
}

/** A node that was dead at this moment, by the clock that the steps of the session go by. */
export interface Dead {
  nodeId: string;
  lookedAt: number;
}

interface Assigned extends Omit<Orphan, 'errorOf' | 'from'> {
  asked: number;
  /** Another node had begun them. */
  again: boolean;
  /** Where the stream's last message is in the log. */
  logId: LogId | undefined;
}

/** Requests that came to another node than the session's owner, or whose owner has died before it began them. */
export class Assignments {
  constructor(
    private readonly node: NodeContext,
    private readonly parts: {
      pool: ReplicaPool;
      ownership: Ownership;
      endOrRerun: EndOrRerun;
      runner: RequestRunner;
      /** Requests that are neither answered nor running yet. */
      arriving: RunningCount;
    },
  ) {}

  /**
   * Has the requests of a stream that nobody has begun assigned to the session's owner (this node, where `dead` was the
   * owner, which was dead at that moment), and runs them, if that is this node. `undefined`: the stream has ended. `stale`:
   * nothing was assigned, since the step was carried out too late to know that `dead` is dead.
   */
  async assign(
    { sessionId, stream }: { sessionId: string; stream: string },
    dead: Dead | undefined,
    context: DeliveryContext,
    inline: string[] | undefined,
  ): Promise<Placed | 'stale' | undefined> {
    const live = this.parts.pool.of(sessionId);
    const leave = this.enter(live);
    try {
      const { revision } = live;
      const operation = {
        ...{ type: 'assign' as const, stream, dead: dead?.nodeId, revision },
        ...(dead !== undefined && { lookedAt: dead.lookedAt }),
      };
      const asked = this.node.clock.elapsed();
      const committed = await this.node.commitQueue.append(sessionId, [operation], true);
      if (committed === 'gone') return undefined;
      const [result] = committed.results;
      if (result?.status === 'stale') return 'stale';
      if (result?.status !== 'assigned') return undefined;
      this.parts.ownership.found(live, committed);
      if (dead !== undefined && result.executor === this.node.nodeId) {
        this.parts.ownership.tookOver(sessionId);
      }
      if (result.requests !== undefined) {
        const run = { asked, sessionId, stream, context, record: committed.reply.record };
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

  /** A request is on its way to the session's replica: this node does not close before it runs. */
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
    // Some may have been cancelled, or are no longer kept.
    const requests = messages.filter(({ id }) => ids.includes(id));
    const missing = ids.filter((id) => !requests.some((request) => request.id === id));
    await this.parts.endOrRerun.end(
      sessionId,
      stream,
      missing,
      (id) => nodeLost(id, undefined),
      undefined,
    );
    const now: CommitOutcome = {
      asked: assigned.asked,
      revision: UNKNOWN_REVISION,
      initialized: false,
      ...(record && { record }),
    };
    await this.parts.runner.run(live, requests, stream, now, context);
  }

  /** Tried until the log could be read: the requests are this node's now, and no other node would begin them or end them. */
  private async read(assigned: Assigned): Promise<JsonRpcRequest[]> {
    const { clock } = this.node;
    for (let failures = 0; ; failures += 1) {
      try {
        return await this.logged(assigned);
      } catch (error) {
        if (error instanceof AnynodeError && error.code === 'closed') throw error;
        const isAway = error instanceof AnynodeError && error.code === 'backplane_unavailable';
        if (!isAway || error instanceof FailedStep) {
          this.node.logger.error(`mcp-anynode: a request could not be read: ${String(error)}`);
          return [];
        }
        await backOff(failures, LOG_PAUSES, clock);
      }
    }
  }

  /** Nobody has begun them: the last one is where the stream ends, and there is seldom another. */
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

/** Of the messages that came along. What is not a request is missing then, and ends as such. */
function requestsOf(texts: string[]): JsonRpcRequest[] {
  return texts.flatMap((text) => {
    const message = parseStoredMessage(text);
    return message !== undefined && isRequest(message) ? message : [];
  });
}
