import { setImmediate } from 'node:timers';
import { jittered } from '../protocol/clock.js';
import type { SessionRecord } from '../backplane/backplane.js';
import type { ReplicaBuilder } from './build-replica.js';
import { LiveSession } from './live-session.js';
import type { RunningCount } from './requests/running-calls.js';
import type { NodeContext } from '../stream/node-context.js';
import type { Cause } from './replica.js';
import type { NodeWatch } from '../stream/node-watch.js';

/** The sessions that are live on this node, least recently used first. Those that nobody uses give way. */
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

  /** For use: it is there afterwards, and the most recently used. Whether there is such a session is not known yet. */
  of(sessionId: string): LiveSession {
    const live = this.live.get(sessionId) ?? this.make(sessionId);
    if (this.closed) {
      // A message of another node came too late: no server is built for it any more.
      void live.end();
      return live;
    }
    this.live.delete(sessionId);
    this.live.set(sessionId, live);
    return live;
  }

  /** For a session that is to be made: not in the pool before it is added. */
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

  /** After use: nothing is kept of a session that has no replica here, or of one too many. */
  dropIfEmpty(live: LiveSession): void {
    if (!live.hasReplica && live.idle && this.live.get(live.id) === live) this.live.delete(live.id);
    this.trim();
  }

  /**
   * Before another replica is built, for a session that is not live here yet, or one that is: those that were idle for
   * longest give way, where there are too many.
   */
  makeRoom(live?: LiveSession): void {
    if (this.evictOver(this.node.settings.maxReplicas - (live === undefined ? 1 : 0))) return;
    if (this.replicas >= this.node.settings.maxReplicas) {
      this.node.logger.warn('mcp-anynode: more replicas are busy than maxReplicas allows');
    }
  }

  /** Of those that were built at the same time each had made room for itself, before any was there. */
  trim(): void {
    this.evictOver(this.node.settings.maxReplicas);
  }

  /** `false`: there are more than `most`, all of them in use. */
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

  /** Discards replicas that nobody has used for `replicaIdleMs`. */
  private async sweep(): Promise<void> {
    this.trim();
    const deadline = this.node.clock.elapsed() - this.node.settings.replicaIdleMs;
    const idle = this.all().filter((live) => this.isIdleSince(live, deadline));
    const followers = new Set(idle.flatMap(({ followedBy }) => followedBy ?? []));
    followers.delete(this.node.nodeId);
    const dead = await this.watch.findDead(followers);
    for (const live of idle) {
      // An open stream on another node keeps it too: the server may have something to say by itself.
      const { followedBy = this.node.nodeId } = live;
      if (followedBy !== this.node.nodeId && !dead.has(followedBy)) continue;
      // It may have been used, followed or ended while we asked.
      if (this.isIdleSince(live, deadline) && this.live.get(live.id) === live) {
        void this.evict(live);
      }
    }
  }

  private isIdleSince(live: LiveSession, deadline: number): boolean {
    const followedHere = this.node.followers.ofSession(live.id).length > 0;
    return live.idle && live.lastUsedAt <= deadline && !followedHere;
  }

  /** Makes sure that there is a replica which knows all that `record` says. Rejects like {@link LiveSession.prepare}. */
  async prepare(
    live: LiveSession,
    record: SessionRecord | undefined,
    cause: Cause | undefined,
  ): Promise<void> {
    if (!live.hasReplica) this.makeRoom(live);
    await live.prepare(record, cause);
  }

  /**
   * Before this node closes: whoever gets the next request of a session has its server object to itself. Resolves when
   * those that are idle are discarded. The others follow, each as soon as it is idle, once: if the next request comes here
   * all the same, what it builds stays.
   */
  async evictAll(): Promise<void> {
    const idle: LiveSession[] = [];
    for (const live of this.all()) {
      if (!live.idle) this.evictOnceIdle(live);
      else if (live.hasReplica) idle.push(live);
    }
    await Promise.all(idle.map((live) => this.evict(live)));
  }

  /** A turn later: what its server got last, the answer that it had waited for, is still to be acted upon. */
  private evictOnceIdle(live: LiveSession): void {
    live.onIdle = () =>
      setImmediate(() => {
        if (live.idle) void this.evict(live);
        else this.evictOnceIdle(live);
      });
  }

  /** Discards the replica, and what is left of it here. Resolves when its server is closed; never rejects. */
  evict(live: LiveSession): Promise<void> {
    if (this.live.get(live.id) === live) this.live.delete(live.id);
    if (live.hasReplica) {
      this.node.commitQueue.append(live.id, [{ type: 'forget' }], true).catch(() => undefined); // closed
    }
    return live.end();
  }
}
