import type { Later } from './redis-connection.js';

/**
 * How many steps run at the same time, each for another session. With many more, other calls would wait behind them in Redis.
 * With only a few, a thousand clients that reconnect at once would wait for too many round trips, and get 503.
 */
const AT_ONCE = 32;

interface Waiting {
  isExpired: () => boolean;
  run: () => void;
  refuse: (error: Error) => void;
}

/**
 * Lets costly steps of a node take turns: those that look through a log. One step of a session runs at a time, and few in
 * all. Sessions take turns in their order of arrival. So a client that resumes many streams at once mostly waits for itself,
 * and delays the calls of others only by a few short steps.
 */
export class FairTurns {
  private running = 0;
  /** The waiting steps by session. Each session here has a running step, or a place in `order`. */
  private readonly sessions = new Map<string, Waiting[]>();
  /** The sessions without a running step, in the order of their turns. */
  private readonly order = new Set<string>();

  /**
   * Runs a step of a command when it is the session's turn. Rejects without running it if the command has timed out by then.
   */
  async take<T>(session: string, command: Later, step: () => Promise<T>): Promise<T> {
    await this.turn(session, () => command.isExpired());
    try {
      return await command.send(step);
    } finally {
      this.running -= 1;
      if (this.sessions.get(session)?.length === 0) this.sessions.delete(session);
      else this.order.add(session);
      this.next();
    }
  }

  private turn(session: string, isExpired: () => boolean): Promise<void> {
    return new Promise((run, refuse) => {
      const waiting = this.sessions.get(session);
      waiting?.push({ isExpired, run, refuse });
      if (waiting !== undefined) return;
      this.sessions.set(session, [{ isExpired, run, refuse }]);
      this.order.add(session);
      this.next();
    });
  }

  private next(): void {
    for (const session of this.order) {
      if (this.running === AT_ONCE) return;
      this.order.delete(session);
      const step = this.stepOf(session);
      if (step === undefined) continue;
      this.running += 1;
      step.run();
    }
  }

  /** Returns the session's next step whose command has not timed out. If there is none, forgets the session. */
  private stepOf(session: string): Waiting | undefined {
    const waiting = this.sessions.get(session) ?? [];
    for (let step = waiting.shift(); step !== undefined; step = waiting.shift()) {
      if (!step.isExpired()) return step;
      step.refuse(new Error('too late'));
    }
    this.sessions.delete(session);
    return undefined;
  }
}
