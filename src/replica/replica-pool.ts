import { setImmediate } from 'node:timers';
import { jittered } from '../protocol/timing/clock.js';
import type { SessionRecord } from '../backplane/backplane.js';
import type { ReplicaBuilder } from './build-replica.js';
import { LiveSession } from './live-session.js';
import type { RunningCount } from './requests/running-calls.js';
import type { NodeContext } from '../stream/node-context.js';
import type { Cause } from './replica.js';
import type { NodeWatch } from '../stream/node-watch.js';

/** The sessions that are live on this node, least recently used first. Idle ones are evicted when there are too many. */
export class ReplicaPool {
  private readonly live = new Map<string, LiveSession>();
  private cancelSweep: () => void = () => undefined;
  private closed = false;

  constructor(
    private readonly node: NodeContext,
    private readonly builder: ReplicaBuilder,
    private readonly running: RunningCount,
    private readonly watch: Pick<NodeWatch, 'findDead'>,
  ) {
    this.scheduleSweep();
  }

  get size(): number {
    return this.live.size;
  }

  get replicas(): number {
    let count = 0;
    for (const session of this.live.values()) if (session.hasReplica) count += 1;
    return count;
  }

  /** Streams whose requests run on this node, by session. */
  runningStreams(): Map<string, string[]> {
    const busy = this.all().filter((live) => live.running > 0);
    return new Map(busy.map((live) => [live.id, live.streams()]));
  }

  all(): LiveSession[] {
    return [...this.live.values()];
  }

  get(sessionId: string): LiveSession | undefined {
    return this.live.get(sessionId);
  }

  /**
   * Returns the live session, creates it if needed, and makes it the most recently used. The backplane may not know the
   * session.
   */
  getOrCreate(sessionId: string): LiveSession {
    const live = this.live.get(sessionId) ?? this.make(sessionId);
    if (this.closed) {
      // This node is closed, and builds no replica for the late message of another node.
      void live.end();
      return live;
    }
    this.live.delete(sessionId);
    this.live.set(sessionId, live);
    return live;
  }

  /** Makes a live session without adding it to the pool. A new session is added once it is stored. */
  make(sessionId: string): LiveSession {
    return new LiveSession(sessionId, this.node, this.builder, this.running);
  }

  add(live: LiveSession): void {
    this.live.set(live.id, live);
  }

  remove(sessionId: string): LiveSession | undefined {
    const live = this.live.get(sessionId);
    this.live.delete(sessionId);
    return live;
  }

  /** Removes a session after use if it has no replica, and evicts others if there are too many. */
  dropIfEmpty(live: LiveSession): void {
    if (!live.hasReplica && live.idle && this.live.get(live.id) === live) this.live.delete(live.id);
    this.trim();
  }

  /**
   * Evicts the sessions that were idle for longest, so that another replica can be built. `live` is the session that gets
   * the replica, if that session is in the pool already.
   */
  makeRoom(live?: LiveSession): void {
    if (this.evictOver(this.node.settings.maxReplicas - (live === undefined ? 1 : 0))) return;
    if (this.replicas >= this.node.settings.maxReplicas) {
      this.node.logger.warn('mcp-anynode: more replicas are busy than maxReplicas allows');
    }
  }

  /**
   * Evicts down to `maxReplicas` again. Several builds can finish together, each having made room before the others
   * existed.
   */
  trim(): void {
    this.evictOver(this.node.settings.maxReplicas);
  }

  /** Evicts idle sessions until `most` are left. Returns `false` if more than `most` remain, because they are in use. */
  private evictOver(most: number): boolean {
    if (this.live.size <= most) return true;
    for (const live of [...this.live.values()]) {
      if (!live.idle || !live.hasReplica) continue;
      void this.evict(live);
      if (this.live.size <= most) return true;
    }
    return false;
  }

  async close(): Promise<void> {
    this.closed = true;
    this.cancelSweep();
    await Promise.all(this.all().map((session) => this.evict(session)));
  }

  private scheduleSweep(): void {
    const { clock, settings } = this.node;
    const every = jittered(Math.max(settings.replicaIdleMs / 4, 250), clock);
    this.cancelSweep = clock.after(every, () => {
      this.sweep()
        .catch((error: unknown) => {
          this.node.logger.warn(`mcp-anynode: idle replicas stay for now: ${String(error)}`);
        })
        .finally(() => {
          if (!this.closed) this.scheduleSweep();
        });
    });
  }

  /** Discards replicas that were not used for `replicaIdleMs`. */
  private async sweep(): Promise<void> {
    this.trim();
    const deadline = this.node.clock.elapsed() - this.node.settings.replicaIdleMs;
    const idle = this.all().filter((live) => this.isIdleSince(live, deadline));
    const followers = new Set(idle.flatMap(({ followedBy }) => followedBy ?? []));
    followers.delete(this.node.nodeId);
    const dead = await this.watch.findDead(followers);
    for (const live of idle) {
      // A standalone stream that another node holds keeps the replica: the server may send messages on its own.
      const { followedBy = this.node.nodeId } = live;
      if (followedBy !== this.node.nodeId && !dead.has(followedBy)) continue;
      // The session may have been used, followed or ended during the look.
      if (this.isIdleSince(live, deadline) && this.live.get(live.id) === live) {
        void this.evict(live);
      }
    }
  }

  private isIdleSince(live: LiveSession, deadline: number): boolean {
    const followedHere = this.node.followers.ofSession(live.id).length > 0;
    return live.idle && live.lastUsedAt <= deadline && !followedHere;
  }

  /** Makes sure that there is a replica with the shape that `record` has. Rejects like {@link LiveSession.prepare}. */
  async prepare(
    live: LiveSession,
    record: SessionRecord | undefined,
    cause: Cause | undefined,
  ): Promise<void> {
    if (!live.hasReplica) this.makeRoom(live);
    await live.prepare(record, cause);
  }

  /**
   * Gives sessions up before this node closes, so that the node that gets the next request of a session becomes its owner.
   * Resolves when the idle replicas are discarded. The other replicas are discarded as soon as they are idle. That is done
   * once for each session: if a later request still comes to this node, the replica that is built for it stays until
   * another node asks for the session.
   */
  async evictAll(): Promise<void> {
    const idle: LiveSession[] = [];
    for (const live of this.all()) {
      if (!live.idle) this.evictOnceIdle(live);
      else if (live.hasReplica) idle.push(live);
    }
    await Promise.all(idle.map((live) => this.evict(live)));
  }

  /** Evicts one turn of the event loop after the session is idle, so that its server can act on the last answer it got. */
  private evictOnceIdle(live: LiveSession): void {
    live.onIdle = () =>
      setImmediate(() => {
        if (live.idle) void this.evict(live);
        else this.evictOnceIdle(live);
      });
  }

  /** Removes a session from the pool and discards its replica. Resolves when its server is closed. Never rejects. */
  evict(live: LiveSession): Promise<void> {
    if (this.live.get(live.id) === live) this.live.delete(live.id);
    if (live.hasReplica) {
      this.node.commitQueue.store(live.id, [{ type: 'forget' }], true).catch(() => undefined); // this node closes
    }
    return live.end();
  }
}
