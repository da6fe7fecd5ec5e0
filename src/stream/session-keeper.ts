import type { Streams, TouchRequest } from '../backplane/backplane.js';
import { STANDALONE } from '../backplane/backplane.js';
import type { Clock } from '../protocol/timing/clock.js';
import { jittered } from '../protocol/timing/clock.js';
import { RepeatedLook } from '../protocol/timing/repeated-look.js';
import type { Follower } from './followers/follower.js';
import type { Followers } from './followers/followers.js';

/** How this node uses a session. */
interface InUse {
  sessionId: string;
  followers: Follower[];
  /** Streams whose requests this node runs. */
  runs: string[];
}

/** How soon after a message its position is reported. If this node crashes, messages of this time may be shown again. */
const REPORT_MS = 1000;
/** Sessions per round trip. */
const BATCH = 100;

export interface SessionKeeperOptions {
  backplane: Streams;
  followers: Followers;
  clock: Clock;
  sessionTtlMs: number;
  /** Streams whose requests this node runs, by session. */
  running(): Map<string, string[]>;
  /** Called when this node is not the executor of the stream any more. */
  onExecutionLost(sessionId: string, stream: string): void;
  /** Called when the backplane has no such session. */
  onGone(sessionId: string): void;
}

/**
 * Keeps the sessions alive that are in use on this node, and reports how far connections have written.
 *
 * A refresh comes a little after each third of a session's lifetime. It also finds out whether this node has missed a
 * message, or has lost a stream or a session. Positions are reported about a second after a message was shown. A session
 * that is not used costs nothing.
 */
export class SessionKeeper {
  private readonly refreshes: RepeatedLook;
  private cancelReport: (() => void) | undefined;
  private readonly moved = new Set<Follower>();

  constructor(private readonly options: SessionKeeperOptions) {
    const { clock, sessionTtlMs } = options;
    this.refreshes = new RepeatedLook(clock, {
      // With the jitter, there are two refreshes before the lifetime is over. So one of them may fail.
      everyMs: () => jittered(sessionTtlMs / 2.6, clock),
      look: () => this.refresh(),
    });
    this.refreshes.schedule();
  }

  /** Notes that a follower has shown a message. Only positions in standalone streams are reported. */
  noteMove(follower: Follower): void {
    if (follower.stream !== STANDALONE || this.refreshes.isClosed) return;
    this.moved.add(follower);
    const { clock } = this.options;
    this.cancelReport ??= clock.after(jittered(REPORT_MS, clock), () => {
      this.cancelReport = undefined;
      const moved = [...this.moved].filter(({ ended }) => !ended);
      this.moved.clear();
      void this.touch(moved, new Map());
    });
  }

  /**
   * Refreshes all sessions in use at once. Finds out which streams this node does not hold or execute any more, and which
   * sessions have ended. The sessions `also` are included, even if they are not in use. Never rejects.
   */
  async refresh(also: string[] = []): Promise<void> {
    const running = this.options.running();
    const idle = also.map((id): [string, string[]] => [id, running.get(id) ?? []]);
    await this.touch(this.options.followers.all(), new Map([...running, ...idle]));
  }

  close(): void {
    this.refreshes.close();
    this.cancelReport?.();
    this.moved.clear();
  }

  /** Never rejects. The next refresh or report repeats what has failed. */
  private async touch(followers: Follower[], running: Map<string, string[]>): Promise<void> {
    const bySession = new Map<string, InUse>();
    const of = (sessionId: string): InUse => {
      const known = bySession.get(sessionId) ?? { sessionId, followers: [], runs: [] };
      bySession.set(sessionId, known);
      return known;
    };
    for (const follower of followers) of(follower.sessionId).followers.push(follower);
    for (const [sessionId, streams] of running) of(sessionId).runs.push(...streams);
    const sessions = [...bySession.values()];
    for (let at = 0; at < sessions.length && !this.refreshes.isClosed; at += BATCH) {
      await this.touchBatch(sessions.slice(at, at + BATCH)).catch(() => undefined);
    }
  }

  private async touchBatch(sessions: InUse[]): Promise<void> {
    const requests = sessions.map(({ sessionId, followers, runs }): TouchRequest => ({
      sessionId,
      streams: followers.map(({ stream, token, position }) => ({ stream, token, position })),
      runs,
    }));
    const replies = await this.options.backplane.touch(requests);
    sessions.forEach(({ sessionId, followers, runs }, at) => {
      const reply = replies[at];
      if (reply?.status !== 'ok') {
        this.options.onGone(sessionId);
        return;
      }
      followers.forEach((follower, index) => {
        const stream = reply.streams[index];
        if (stream === undefined || follower.ended) return;
        // In each of these cases a message to this node was lost.
        if (stream.ended) follower.poke();
        else if (!stream.held) follower.end('replaced');
        else if (stream.last !== follower.position.n) follower.poke();
      });
      runs.forEach((stream, index) => {
        if (reply.runs[index] !== true) this.options.onExecutionLost(sessionId, stream);
      });
    });
  }
}
