/** Looks at the cluster once in a second while a page watches, and tells all watchers the same. */
import { AnynodeError } from '../protocol/errors.js';
import type { Observer, Stats } from '../operator/observer.js';
import type { RedisInfo } from '../backplane/observation.js';
import { NodeHistory } from './node-history.js';
import type { ClusterView } from './wire.js';
import type { Summarize } from './summarize.js';

const EVERY_MS = 1000;
/** The servers of Redis are asked once in so many looks. */
const REDIS_EVERY = 5;
/** A watcher does not get more of the latest events at a time. */
const LATEST = 30;

export type Watcher = (view: ClusterView) => void;

export class ClusterFeed {
  private readonly watchers = new Set<Watcher>();
  private history = new NodeHistory();
  private redis: RedisInfo[] = [];
  private looks = 0;
  private timer: NodeJS.Timeout | undefined;
  private isLooking = false;
  private view: ClusterView | undefined;

  constructor(
    private readonly observer: Observer,
    private readonly summarize: Summarize,
  ) {}

  /** Tells `watcher` each look, until the returned function is called. */
  watch(watcher: Watcher): () => void {
    this.watchers.add(watcher);
    if (this.view !== undefined) watcher(this.view);
    if (this.timer === undefined && !this.isLooking) void this.look();
    return () => {
      this.watchers.delete(watcher);
      if (this.watchers.size === 0) this.stop();
    };
  }

  close(): void {
    this.watchers.clear();
    this.stop();
  }

  private stop(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    // What is remembered would be old when the next watcher comes.
    this.history = new NodeHistory();
    this.view = undefined;
    this.looks = 0;
  }

  private async look(): Promise<void> {
    this.isLooking = true;
    try {
      const stats = await this.observer.stats();
      if (this.looks % REDIS_EVERY === 0) this.redis = await this.observer.redis();
      this.looks += 1;
      if (this.watchers.size > 0) this.view = this.viewOf(stats);
    } catch (error) {
      const isAway = error instanceof AnynodeError && error.code === 'backplane_unavailable';
      const trouble = isAway ? 'Redis cannot be reached' : 'The cluster cannot be read';
      this.view = { ...(this.view ?? NOTHING), latest: [], trouble };
    } finally {
      this.isLooking = false;
    }
    const { view } = this;
    if (this.watchers.size === 0) {
      this.stop();
      return;
    }
    if (view !== undefined) for (const watcher of this.watchers) watcher(view);
    this.timer = setTimeout(() => {
      this.timer = undefined;
      void this.look();
    }, EVERY_MS);
    this.timer.unref();
  }

  private viewOf(stats: Stats): ClusterView {
    const { at, traffic, nodesComplete, listed, sampled, sessions, totals } = stats;
    const latest = (traffic?.events ?? []).slice(-LATEST);
    return {
      ...{ at, nodesComplete, listed, sampled, totals },
      nodes: this.history.take(stats, at),
      looked: sessions.length,
      perSecond: traffic && {
        events: (traffic.count * 1000) / Math.max(1, traffic.ms),
        bytes: (traffic.bytes * 1000) / Math.max(1, traffic.ms),
        partial: traffic.partial,
      },
      redis: this.redis,
      latest: latest.map(({ session, event }) => ({
        session,
        event: this.summarize(session, event),
      })),
    };
  }
}

const NOTHING: ClusterView = {
  ...{ at: 0, nodes: [], nodesComplete: false, listed: 0, sampled: false, looked: 0 },
  totals: { streams: 0, followed: 0, requests: 0 },
  ...{ perSecond: undefined, redis: [], latest: [] },
};
