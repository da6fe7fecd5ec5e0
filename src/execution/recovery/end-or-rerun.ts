import type { Operation, SessionRecord } from '../../backplane/backplane.js';
import type { JsonRpcError, JsonRpcRequest, RequestId } from '../../protocol/json/jsonrpc.js';
import type { BegunStreams } from '../../stream/begun-streams.js';
import { endOf } from '../../stream/shown-on.js';
import { deliverToFollowers } from '../../stream/followers/deliver-to-followers.js';
import {
  answerLost,
  failed,
  nodeClosed,
  recovered,
} from '../../replica/requests/request-errors.js';
import { answerTurns } from '../../replica/requests/loop-turns.js';
import type { LiveSession } from '../../replica/live-session.js';
import type { NodeContext } from '../../stream/node-context.js';
import { mayRerun, readRequestHistory } from './request-history.js';
import type { ReplicaPool } from '../../replica/replica-pool.js';
import type { DeliveryContext } from '../../replica/replica.js';

/** The requests of one stream that this node has claimed from another node. */
export interface Orphan {
  sessionId: string;
  stream: string;
  requests: RequestId[];
  /** The context of the client that follows the stream now. */
  context: DeliveryContext;
  record: SessionRecord | undefined;
  errorOf: (id: RequestId) => JsonRpcError;
  /** The node that ran the requests, if it is known. */
  from: string | undefined;
}

/** Ends the requests of a dead or closed node with an error, or runs them again. The option `recovery` decides which. */
export class EndOrRerun {
  constructor(
    private readonly node: NodeContext,
    private readonly pool: ReplicaPool,
    private readonly begunStreams: BegunStreams,
  ) {}

  /** Ends each of these requests with an error. This node must be the executor of their stream. */
  async end(
    sessionId: string,
    stream: string,
    requests: RequestId[],
    errorOf: (id: RequestId) => JsonRpcError,
    from: string | undefined,
    trace?: string,
  ): Promise<void> {
    if (requests.length === 0) return;
    const operations = requests.flatMap((id): Operation[] => [
      ...endOf(stream, id, JSON.stringify(errorOf(id)), { failed: true }),
      failed(id, stream, from),
    ]);
    const committed = await this.node.commitQueue.store(sessionId, operations, true);
    if (committed === 'gone') return;
    deliverToFollowers(this.node.followers, sessionId, operations, committed.results);
    const { telemetry } = this.node;
    for (const id of telemetry === undefined ? [] : requests) {
      telemetry?.count('orphans', { outcome: 'ended' });
      telemetry?.happened('orphan', { sessionId, stream, trace });
      telemetry?.requestEnded({ stream, id }, errorOf(id));
    }
  }

  /**
   * Begins a stream with `start`, unless this node has begun it before (see {@link BegunStreams}). In that case the requests
   * that run here go on, and the backplane has recorded again that they do. The others were answered, but a failover has
   * lost the answers: they end with an error.
   */
  async beginOnce(
    orphan: Pick<Orphan, 'sessionId' | 'stream' | 'requests'>,
    start: () => Promise<void>,
  ): Promise<void> {
    const { sessionId, stream, requests } = orphan;
    const started = this.begunStreams.begin(orphan, start);
    if (started !== undefined) return started;
    if (this.begunStreams.isStarting(sessionId, stream)) return;
    await this.endAnswered(sessionId, stream, requests, answerLost);
  }

  /**
   * Ends those of the requests that do not run here, because a failover has lost their answers. This node must be the
   * executor of the stream.
   */
  async endAnswered(
    sessionId: string,
    stream: string,
    requests: RequestId[],
    errorOf: (id: RequestId) => JsonRpcError,
    trace?: string,
  ): Promise<void> {
    const live = this.pool.get(sessionId);
    const over = requests.filter((id) => live?.runs(id, stream) !== true);
    // Some requests may just have been answered. Let those answers enter the commit queue first.
    await answerTurns.over();
    await this.end(sessionId, stream, over, errorOf, this.node.nodeId, trace);
  }

  /**
   * Ends requests that this node has begun although the backplane says that another node is to begin them. A failover has
   * lost the step with which this node began them, and the one that made this node the owner of the session. The requests
   * must not run again.
   */
  async endForgotten(sessionId: string, stream: string): Promise<void> {
    const operations = this.begunStreams.requestsOf(sessionId, stream).flatMap((id) =>
      endOf(stream, id, JSON.stringify(answerLost(id)), {
        ...{ failed: true, onlyIf: { unbegun: true } },
      }),
    );
    if (operations.length === 0) return;
    const committed = await this.node.commitQueue.store(sessionId, operations, true);
    if (committed === 'gone') return;
    deliverToFollowers(this.node.followers, sessionId, operations, committed.results);
  }

  /** Runs requests again where that is allowed, and ends the others. */
  rerun(orphan: Orphan): Promise<void> {
    // Pin the session at once. Otherwise the requests could be taken for ended while the log is read.
    const live = this.pool.getOrCreate(orphan.sessionId);
    const unpin = live.pin();
    return this.beginOnce(orphan, () => this.runAgain(live, orphan)).finally(() => {
      unpin();
      this.pool.dropIfEmpty(live);
    });
  }

  private async runAgain(live: LiveSession, orphan: Orphan): Promise<void> {
    const { sessionId, stream, context, record, from } = orphan;
    try {
      const history = await readRequestHistory(this.node, sessionId, stream);
      await this.pool.prepare(live, record, context);
      const runnable: JsonRpcRequest[] = [];
      for (const id of orphan.requests) {
        const request = history.requests.get(id);
        if (request !== undefined && !history.hasAskedClient && (await mayRerun(live, request))) {
          runnable.push(request);
        }
      }
      const rest = orphan.requests.filter((id) => !runnable.some((request) => request.id === id));
      await this.end(sessionId, stream, rest, orphan.errorOf, from, context.trace);
      const stopped = live.expect(runnable, stream, history.progress);
      const notes = runnable.map(({ id }) => recovered(id, stream, from));
      // The commit queue keeps the order: the notes come before any answer, so there is no need to wait.
      if (notes.length > 0)
        this.node.commitQueue.store(sessionId, notes, true).catch(() => undefined); // closed
      const taken = { how: 'rerun' as const, trace: context.trace };
      for (const request of runnable) {
        this.node.telemetry?.count('orphans', { outcome: 'rerun' });
        this.node.telemetry?.requestTaken(stream, request, sessionId, taken);
      }
      if (stopped !== undefined) await stopped;
      for (const request of runnable) live.call(request, context);
    } catch (error) {
      this.node.logger.error(`mcp-anynode: a request could not be run again: ${String(error)}`);
      await this.end(sessionId, stream, orphan.requests, orphan.errorOf, from, context.trace);
    }
  }

  /**
   * Ends each request that still runs when this node closes, with an error. With `leave` it releases their streams instead,
   * so that the nodes which follow them can claim them.
   */
  async leaveBehind(leave: boolean): Promise<void> {
    const busy = this.pool.all().filter((live) => live.running > 0);
    await Promise.all(
      busy.map(async (live) => {
        if (!leave) return live.failAll(nodeClosed);
        const release = live.streams().map((stream) => ({ type: 'release' as const, stream }));
        await this.node.commitQueue.store(live.id, release, true);
      }),
    );
  }
}
