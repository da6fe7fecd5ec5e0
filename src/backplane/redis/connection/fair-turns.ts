import type { Later } from './redis-connection.js';

/**
 * Steps that run at the same time, of as many sessions. With many more, the steps of others would wait behind them in Redis.
 * With a few, a thousand clients that come back at once would wait for as many round trips, and get 503.
 */
const AT_ONCE = 32;

interface Waiting {
  isExpired: () => boolean;
  run: () => void;
  refuse: (error: Error) => void;
}

/**
 * Lets those steps of a node take turns that may cost Redis more than others: those that look through a log. One step of a
 * session runs at a time, and few in all; sessions take turns in the order in which they came. So a client that resumes
 * many streams at once waits for itself, and adds the time of a few short steps to the calls of others.
 */
export class FairTurns {
  private running = 0;
  /** By session, those that wait. A session that is here has a step that runs, or a place in `order`. */
  private readonly sessions = new Map<string, Waiting[]>();
  /** Sessions none of whose steps runs, the one whose turn is next first. */
  private readonly order = new Set<string>();

  /**
   * Runs a step of a command when it is the session's turn. Rejects without running it where the command's time is up by
   * then.
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

  /** The session's next step whose caller still waits for it. Without one, nothing of the session is kept. */
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
