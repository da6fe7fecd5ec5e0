import { AnynodeError, FailedStep, unavailable } from '../../../protocol/errors.js';

/**
 * How many steps run at the same time, each for another session. With many more, other calls would wait behind them in Redis.
 * With only a few, a thousand clients that reconnect at once would wait for too many round trips.
 */
const AT_ONCE = 32;
/** How many steps of one session may wait. A client needs far fewer, and each waiting step takes memory. */
const MOST_WAITING = 1000;

interface Waiting {
  /** How many steps of all sessions had begun when this one began to wait. */
  since: number;
  run: () => void;
  refuse: (error: Error) => void;
}

/**
 * Lets costly steps of a node take turns: those that look through a log. One step of a session runs at a time, and few in
 * all. Sessions take turns in their order of arrival. So a client that resumes many streams at once mostly waits for itself,
 * and delays the calls of others only by a few short steps.
 *
 * The time that a step waits for its turn does not count toward the time that Redis may take for it. When 2,000 clients come
 * back at once, all of them are served, some later than others. When Redis has not answered a step in time, all steps that
 * began to wait before it are refused, so that an outage makes no client wait longer.
 */
export class FairTurns {
  private running = 0;
  /** How many steps of all sessions have begun. */
  private begun = 0;
  /** The waiting steps by session. Each session here has a running step, or a place in `order`. */
  private readonly sessions = new Map<string, Waiting[]>();
  /** The sessions without a running step, in the order of their turns. */
  private readonly order = new Set<string>();

  /**
   * Runs a step when it is the session's turn. Rejects with `backplane_unavailable` without running it if Redis cannot be
   * reached, or if too many steps of the session wait.
   */
  async take<T>(session: string, step: () => Promise<T>): Promise<T> {
    await this.turn(session);
    const before = this.begun;
    this.begun += 1;
    try {
      return await step();
    } catch (error) {
      if (isOutage(error)) this.refuseOlder(before, error);
      throw error;
    } finally {
      this.running -= 1;
      if (this.sessions.get(session)?.length === 0) this.sessions.delete(session);
      else this.order.add(session);
      this.next();
    }
  }

  /** True if no step runs or waits. */
  get isIdle(): boolean {
    return this.running === 0 && this.sessions.size === 0;
  }

  private turn(session: string): Promise<void> {
    return new Promise((run, refuse) => {
      const waiting = this.sessions.get(session);
      if (waiting !== undefined && waiting.length >= MOST_WAITING) {
        refuse(unavailable(new Error('too many steps of this session wait')));
        return;
      }
      const step = { since: this.begun, run, refuse };
      waiting?.push(step);
      if (waiting !== undefined) return;
      this.sessions.set(session, [step]);
      this.order.add(session);
      this.next();
    });
  }

  private next(): void {
    for (const session of this.order) {
      if (this.running === AT_ONCE) return;
      this.order.delete(session);
      const step = this.sessions.get(session)?.shift();
      if (step === undefined) {
        this.sessions.delete(session);
        continue;
      }
      this.running += 1;
      step.run();
    }
  }

  /** Refuses the steps that have waited since before the step `begun` began. */
  private refuseOlder(begun: number, error: Error): void {
    for (const waiting of this.sessions.values()) {
      const isOlder = ({ since }: Waiting) => since <= begun;
      for (const { refuse } of waiting.filter(isOlder)) refuse(error);
      waiting.splice(0, waiting.length, ...waiting.filter((step) => !isOlder(step)));
    }
  }
}

/**
 * Keeps turns for each server of a cluster. So a master that does not answer delays only the steps of its own sessions, and no
 * step is refused because another master did not answer.
 */
export class TurnsPerServer {
  private readonly servers = new Map<string, FairTurns>();

  /** `serverOf` names the server that has a key. */
  constructor(private readonly serverOf: (key: string) => string) {}

  /** See {@link FairTurns.take}. `key` is a key of the session. */
  async take<T>(key: string, step: () => Promise<T>): Promise<T> {
    const server = this.serverOf(key);
    const turns = this.servers.get(server) ?? new FairTurns();
    this.servers.set(server, turns);
    try {
      return await turns.take(key, step);
    } finally {
      if (turns.isIdle && this.servers.get(server) === turns) this.servers.delete(server);
    }
  }
}

/** True if Redis cannot be reached. A step that failed in Redis says nothing about other sessions. */
function isOutage(error: unknown): error is AnynodeError {
  const isUnavailable = error instanceof AnynodeError && error.code === 'backplane_unavailable';
  return isUnavailable && !(error instanceof FailedStep);
}
