import type { Operation, SessionRecord } from '../../backplane/backplane.js';
import type { JsonRpcError, JsonRpcRequest, RequestId } from '../../protocol/jsonrpc.js';
import type { BegunStreams } from '../../stream/begun-streams.js';
import { endOf } from '../../stream/shown-on.js';
import { deliverToFollowers } from '../../stream/deliver-to-followers.js';
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

/** Requests that this node has claimed from another one. */
export interface Orphan {
  sessionId: string;
  stream: string;
  requests: RequestId[];
  /** Of the client that follows the stream now. */
  context: DeliveryContext;
  record: SessionRecord | undefined;
  errorOf: (id: RequestId) => JsonRpcError;
  /** The node that had run them, if it is known. */
  from: string | undefined;
}

/** Ends, or runs again, the requests that a node has left behind. See `recovery` in the options. */
export class EndOrRerun {
  constructor(
    private readonly node: NodeContext,
    private readonly pool: ReplicaPool,
    private readonly begunStreams: BegunStreams,
  ) {}

  /** Ends requests of a stream that this node executes now, each with an error. */
  async end(
    sessionId: string,
    stream: string,
    requests: RequestId[],
    errorOf: (id: RequestId) => JsonRpcError,
    from: string | undefined,
  ): Promise<void> {
    if (requests.length === 0) return;
    const operations = requests.flatMap((id): Operation[] => [
      ...endOf(stream, id, JSON.stringify(errorOf(id))),
      failed(id, stream, from),
    ]);
    const committed = await this.node.commitQueue.append(sessionId, operations, true);
    if (committed === 'gone') return;
    deliverToFollowers(this.node.followers, sessionId, operations, committed.results);
  }

  /**
   * Begins a stream by `start`, unless this node has begun it before (see {@link BegunStreams}). Then the requests that run
   * here go on: the backplane now knows again that they do. Those that do not have been answered, and the backplane has lost
   * the answers: they end with an error.
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

  /** Of these requests of a stream that this node executes, ends those that do not run: the backplane has lost their answers. */
  async endAnswered(
    sessionId: string,
    stream: string,
    requests: RequestId[],
    errorOf: (id: RequestId) => JsonRpcError,
  ): Promise<void> {
    const live = this.pool.get(sessionId);
    const over = requests.filter((id) => live?.runs(id, stream) !== true);
    // They may just have been answered: those answers come first.
    await answerTurns.over();
    await this.end(sessionId, stream, over, errorOf, this.node.nodeId);
  }

  /**
   * Ends the requests of a stream that this node has begun and that, as the backplane says, another node is to begin: it has
   * lost that step (a failover), and the one by which this node became the owner of the session. They must not run again.
   */
  async endForgotten(sessionId: string, stream: string): Promise<void> {
    const operations = this.begunStreams
      .requestsOf(sessionId, stream)
      .flatMap((id) =>
        endOf(stream, id, JSON.stringify(answerLost(id)), { onlyIf: { unbegun: true } }),
      );
    if (operations.length === 0) return;
    const committed = await this.node.commitQueue.append(sessionId, operations, true);
    if (committed === 'gone') return;
    deliverToFollowers(this.node.followers, sessionId, operations, committed.results);
  }

  /** Runs again those of the requests that may be run again, and ends the others. */
  rerun(orphan: Orphan): Promise<void> {
    // Pinned at once: nobody may take the requests for over while the log is read.
    const live = this.pool.of(orphan.sessionId);
    const unpin = live.pin();
    return this.beginOnce(orphan, () => this.runAgain(live, orphan)).finally(() => {
      unpin();
      this.pool.dropIfEmpty(live);
    });
  }

  private async runAgain(live: LiveSession, orphan: Orphan): Promise<void> {
    const { sessionId, stream, context, record, from } = orphan;
    try {
      const past = await readRequestHistory(this.node, sessionId, stream);
      await this.pool.prepare(live, record, context);
      const runnable: JsonRpcRequest[] = [];
      for (const id of orphan.requests) {
        const request = past.requests.get(id);
        if (request !== undefined && !past.asked && (await mayRerun(live, request))) {
          runnable.push(request);
        }
      }
      const rest = orphan.requests.filter((id) => !runnable.some((request) => request.id === id));
      await this.end(sessionId, stream, rest, orphan.errorOf, from);
      const stopped = live.expect(runnable, stream, past.progress);
      const notes = runnable.map(({ id }) => recovered(id, stream, from));
      // Not waited for: in the commit queue it is before whatever the request is answered with.
      if (notes.length > 0)
        this.node.commitQueue.append(sessionId, notes, true).catch(() => undefined); // closed
      if (stopped !== undefined) await stopped;
      for (const request of runnable) live.call(request, context);
    } catch (error) {
      this.node.logger.error(`mcp-anynode: a request could not be run again: ${String(error)}`);
      await this.end(sessionId, stream, orphan.requests, orphan.errorOf, from);
    }
  }

  /** This node closes, and some requests still run: ends them with an error, or leaves them to whoever follows them. */
  async leaveBehind(leave: boolean): Promise<void> {
    const busy = this.pool.all().filter((live) => live.running > 0);
    await Promise.all(
      busy.map(async (live) => {
        if (!leave) return live.failAll(nodeClosed);
        const release = live.streams().map((stream) => ({ type: 'release' as const, stream }));
        await this.node.commitQueue.append(live.id, release, true);
      }),
    );
  }
}
