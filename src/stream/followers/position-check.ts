import type { EndsReply, Streams } from '../../backplane/backplane.js';
import type { Clock } from '../../protocol/timing/clock.js';
import { jittered } from '../../protocol/timing/clock.js';
import { RepeatedLook } from '../../protocol/timing/repeated-look.js';
import type { Follower } from './follower.js';
import type { Followers } from './followers.js';

/** How often positions are checked. With the jitter and the time for the reads, a lost wake-up is found within a minute. */
const CHECK_EVERY_MS = 40_000;
/** How many sessions are read in one round trip. */
const BATCH = 100;

export interface PositionCheckOptions {
  backplane: Streams;
  followers: Followers;
  clock: Clock;
  /** Called for each follower that was behind. */
  onMissed?: () => void;
  /** Default 40,000 ms. */
  checkEveryMs?: number | undefined;
}

/**
 * Finds wake-ups that were lost although no connection to the backplane was interrupted. It compares the ends of the
 * streams that this node follows with the positions of their followers, and makes followers that are behind read the log.
 *
 * The check runs only with a backplane that can lose such a wake-up (a Redis Cluster, see `ends`), and only while the node
 * has a follower. It costs one timer for each node, and one read for each session in each check.
 */
export class PositionCheck {
  private readonly checks: RepeatedLook;

  constructor(private readonly options: PositionCheckOptions) {
    const { backplane, followers, clock, checkEveryMs = CHECK_EVERY_MS } = options;
    this.checks = new RepeatedLook(clock, {
      everyMs: () => jittered(checkEveryMs, clock),
      isNeeded: () => backplane.ends !== undefined && followers.size > 0,
      look: () => this.check(),
    });
  }

  /** Schedules the next check, if the node has a follower. */
  schedule(): void {
    this.checks.schedule();
  }

  close(): void {
    this.checks.close();
  }

  /** Never rejects. The next check reads what this one could not read. */
  private async check(): Promise<void> {
    const { followers } = this.options;
    const sessions = followers.sessions();
    for (let at = 0; at < sessions.length && !this.checks.isClosed; at += BATCH) {
      const batch = sessions.slice(at, at + BATCH).map((id) => followers.ofSession(id));
      await this.checkBatch(batch.filter(({ length }) => length > 0)).catch(() => undefined);
    }
  }

  /** `sessions` has the followers of each session. */
  private async checkBatch(sessions: Follower[][]): Promise<void> {
    const before = sessions.map((ofSession) =>
      ofSession.map((follower) => ({ follower, n: follower.position.n })),
    );
    const requests = sessions.map((ofSession) => ({
      sessionId: ofSession[0]?.sessionId ?? '',
      streams: ofSession.map(({ stream }) => stream),
    }));
    const replies: EndsReply[] = (await this.options.backplane.ends?.(requests)) ?? [];
    before.forEach((ofSession, at) => {
      const ends = replies[at];
      if (ends === undefined) return;
      ofSession.forEach(({ follower, n }, index) => {
        if (follower.ended) return;
        const end = ends[index];
        // The stream has ended, or has messages that the follower has not shown, or a failover has lost its last messages.
        if (end === undefined || end > follower.position.n || end < n) {
          this.options.onMissed?.();
          follower.poke();
        }
      });
    });
  }
}
