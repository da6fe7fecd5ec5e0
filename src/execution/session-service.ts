import type { NodeMessageOf, StreamName } from '../backplane/backplane.js';
import type { Revision } from '../backplane/revision.js';
import { parseStoredMessage } from '../protocol/json/parse-stored.js';
import type { LiveSession } from '../replica/live-session.js';
import type { ReplicaPool } from '../replica/replica-pool.js';
import type { NodeContext } from '../stream/node-context.js';
import type { BegunStreams } from '../stream/begun-streams.js';
import type { Ownership } from './ownership/ownership.js';

/** The sessions that this node runs, follows or has a replica of. */
export class SessionService {
  constructor(
    private readonly node: NodeContext,
    private readonly pool: ReplicaPool,
    private readonly ownership: Ownership,
    private readonly begunStreams: BegunStreams,
  ) {}

  /** Returns the live session on this node, if there is one. */
  find(sessionId: string): LiveSession | undefined {
    return this.pool.get(sessionId);
  }

  /** The number of sessions that this node is using, or has a replica of. */
  get live(): number {
    return this.pool.size;
  }

  /** The number of sessions with a replica on this node. */
  get replicas(): number {
    return this.pool.replicas;
  }

  withReplica(): string[] {
    return this.pool
      .all()
      .filter(({ hasReplica }) => hasReplica)
      .map(({ id }) => id);
  }

  /** Streams that this node has begun. After a failover, the backplane may name another executor for them. */
  begun(): StreamName[] {
    const running = [...this.pool.runningStreams()].flatMap(([sessionId, streams]) =>
      streams.map((stream) => ({ sessionId, stream })),
    );
    return [
      ...running.filter((stream) => this.hasBegun(stream)),
      ...this.begunStreams.of(this.ownership.takenOverLately()),
    ];
  }

  /** True if this node was given a stream that it did not open, and has begun it. */
  hasBegun({ sessionId, stream }: StreamName): boolean {
    return this.begunStreams.requestsOf(sessionId, stream).length > 0;
  }

  /** See {@link LiveSession.pin}. */
  pin(sessionId: string): () => void {
    const live = this.pool.getOrCreate(sessionId);
    const unpin = live.pin();
    return () => {
      unpin();
      this.pool.dropIfEmpty(live);
    };
  }

  /** See {@link LiveSession.mayRun}. */
  mayRun(sessionId: string, stream: string): boolean {
    return this.pool.get(sessionId)?.mayRun(stream) ?? false;
  }

  /** Stops the requests of a stream that another node runs now. Their messages and answers reach no client. */
  executionLost(sessionId: string, stream: string): void {
    this.pool.get(sessionId)?.executionLost(stream);
  }

  /** Forgets a stream that another node has begun. If that node dies, this node may be given the stream again. */
  forget(sessionId: string, stream: string): void {
    this.begunStreams.forget(sessionId, stream);
  }

  /** The revision of this node's replica of a session, if there is one. */
  revisionOf(sessionId: string): Revision | undefined {
    return this.pool.get(sessionId)?.revision;
  }

  /**
   * Handles a change of the shape that another node has stored. Awaits nothing: a slow tool must not delay the answer that
   * it waits for.
   */
  onShape({ sessionId, revision, message: text }: NodeMessageOf<'shape'>): void {
    const shaped = text === undefined ? undefined : parseStoredMessage(text);
    this.pool
      .get(sessionId)
      ?.reshaped(revision, shaped)
      .catch((error: unknown) => {
        this.node.logger.warn(`mcp-anynode: a replica is behind for now: ${String(error)}`);
      });
  }

  onFollowed({ sessionId, by }: NodeMessageOf<'followed'>): void {
    const live = this.pool.get(sessionId);
    if (live !== undefined) live.followedBy = by;
  }

  /** Discards the replica of a session that another node owns now. */
  discardReplica(sessionId: string): void {
    const live = this.pool.get(sessionId);
    if (live !== undefined) this.ownership.discard(live);
  }

  /** Gives up the sessions that this node owns, before it closes. Sessions in use are given up as soon as they are idle. */
  async giveUpIdle(): Promise<void> {
    if (this.node.settings.owned) await this.pool.evictAll();
  }

  /** Discards all parts of an ended session on this node. */
  end(sessionId: string): void {
    this.node.followers.endSession(sessionId, 'gone');
    void this.pool.remove(sessionId)?.end();
  }

  /**
   * Checks whether a session that was `gone` for a caller still exists, since it may only belong to another principal. The
   * backplane is asked only if this node has a live session or a follower of it. The caller does not wait.
   */
  verify(sessionId: string): void {
    const { backplane, followers, logger } = this.node;
    const isHere = this.pool.get(sessionId) ?? followers.ofSession(sessionId)[0];
    if (isHere === undefined) return;
    backplane.identify(sessionId).then(
      (identity) => {
        if (identity === undefined) this.end(sessionId);
      },
      (error: unknown) => {
        logger.warn(`mcp-anynode: a session may be gone: ${String(error)}`);
      },
    );
  }

  /** Discards all replicas. Requests that still run end without an answer. */
  close(): Promise<void> {
    return this.pool.close();
  }
}
