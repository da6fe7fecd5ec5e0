import type { NodeMessageOf, StreamName } from '../backplane/backplane.js';
import type { Revision } from '../backplane/revision.js';
import { parseStoredMessage } from '../protocol/parse-stored.js';
import type { LiveSession } from '../replica/live-session.js';
import type { ReplicaPool } from '../replica/replica-pool.js';
import type { NodeContext } from '../stream/node-context.js';
import type { BegunStreams } from '../stream/begun-streams.js';
import type { Ownership } from './ownership.js';

/** All sessions that this node has something to do with. */
export class SessionService {
  constructor(
    private readonly node: NodeContext,
    private readonly pool: ReplicaPool,
    private readonly ownership: Ownership,
    private readonly begunStreams: BegunStreams,
  ) {}

  /** What there is of a session on this node. */
  find(sessionId: string): LiveSession | undefined {
    return this.pool.get(sessionId);
  }

  /** Sessions with a replica on this node. */
  get replicas(): number {
    return this.pool.replicas;
  }

  withReplica(): string[] {
    return this.pool
      .all()
      .filter(({ hasReplica }) => hasReplica)
      .map(({ id }) => id);
  }

  /** Streams that this node has begun, for which the backplane may take another node after a failover. */
  begun(): StreamName[] {
    const running = [...this.pool.runningStreams()].flatMap(([sessionId, streams]) =>
      streams.map((stream) => ({ sessionId, stream })),
    );
    return [
      ...running.filter((stream) => this.hasBegun(stream)),
      ...this.begunStreams.of(this.ownership.lately()),
    ];
  }

  /** Whether a stream was given to this node, and it has begun it. */
  hasBegun({ sessionId, stream }: StreamName): boolean {
    return this.begunStreams.requestsOf(sessionId, stream).length > 0;
  }

  /** See {@link LiveSession.pin}. */
  pin(sessionId: string): () => void {
    const live = this.pool.of(sessionId);
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

  /** Another node runs the requests of this stream now: what they do here is stopped, and nobody hears of it. */
  taken(sessionId: string, stream: string): void {
    this.pool.get(sessionId)?.taken(stream);
  }

  /** Another node has begun this stream. Should that one die, this node may be given the stream again. */
  forget(sessionId: string, stream: string): void {
    this.begunStreams.forget(sessionId, stream);
  }

  /** The revision that this node's replica of a session is at, if there is one. */
  revisionOf(sessionId: string): Revision | undefined {
    return this.pool.get(sessionId)?.revision;
  }

  /** Messages of other nodes. Nothing is awaited: a slow tool must not hold up the answer that it waits for. */
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

  /** Another node owns the session now. */
  disowned(sessionId: string): void {
    const live = this.pool.get(sessionId);
    if (live !== undefined) this.ownership.lost(live);
  }

  /** This node closes: sessions that it owns are others' from now on, those in use as soon as they are idle. */
  async handOver(): Promise<void> {
    if (this.node.settings.owned) await this.pool.evictAll();
  }

  /** The session has ended: nothing of it stays on this node. */
  end(sessionId: string): void {
    this.node.followers.endSession(sessionId, 'gone');
    void this.pool.remove(sessionId)?.end();
  }

  /**
   * There is no such session, or it is another principal's. Where this node has something of it, it finds out which; the
   * caller does not wait.
   */
  verify(sessionId: string): void {
    const { membership, followers, logger } = this.node;
    const isHere = this.pool.get(sessionId) ?? followers.ofSession(sessionId)[0];
    if (isHere === undefined) return;
    membership.identify(sessionId).then(
      (identity) => {
        if (identity === undefined) this.end(sessionId);
      },
      (error: unknown) => {
        logger.warn(`mcp-anynode: a session may be gone: ${String(error)}`);
      },
    );
  }

  /** Discards all replicas. What still runs ends without an answer. */
  close(): Promise<void> {
    return this.pool.close();
  }
}
