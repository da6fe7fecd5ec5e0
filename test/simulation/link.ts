import { AnynodeError, unavailable } from '../../src/protocol/errors.js';
import type { Clock } from '../../src/protocol/timing/clock.js';
import type { Random } from './random.js';
import type { Process, Scheduler } from './scheduler.js';

/** How a node's connection to the backplane behaves. Times in milliseconds, chances per call. */
export interface LinkFaults {
  latencyMs: number;
  /** The connection breaks after the call took effect, and its reply is lost. */
  loseReply: number;
  /** The connection breaks before the call arrives. */
  loseCall: number;
  /** The backplane refuses the call for the moment (`LOADING`). */
  refuse: number;
}

interface Attempt {
  name: string;
  /** True while the call may still arrive. */
  sent: boolean;
  executed: boolean;
  settled: boolean;
  arrive: () => void;
  fail: (error: Error) => void;
}

const RECONNECT_MS = 40;
/** How long the kernel may go on sending the data of a connection that has ended on one side. */
const LATE_MS = 8000;

/**
 * A node's connection for commands. Calls arrive and are answered in order. A break of the connection loses all replies
 * that are on their way, and the calls behind them. Calls are repeated as in `backplane/redis/connection`: until they are
 * answered, or the time is up.
 *
 * Of the calls that were on their way when the connection broke, the first few may still arrive, at once or seconds later.
 * By then their callers know that the connection is lost, and have sent them again.
 */
export class Link {
  /** Calls that are sent before this time arrive after it. */
  stalledUntil = 0;
  private connected = true;
  private reconnectAt = 0;
  private readonly waiting = new Set<() => void>();
  private attempts: Attempt[] = [];
  /** Calls of ended connections that may still arrive. */
  private late: Attempt[] = [];
  private lastArrival = 0;
  private lastReply = 0;
  private closed = false;

  constructor(
    private readonly scheduler: Scheduler,
    private readonly random: Random,
    private readonly process: Process,
    private readonly clock: Clock,
    private readonly timeoutMs: number,
    private readonly faults: () => LinkFaults,
    private readonly onReconnected: () => void,
  ) {}

  get isUp(): boolean {
    return this.connected;
  }

  /** Runs a call, and repeats it until it is answered. `attempt` is the number of earlier tries. */
  async run<T>(name: string, execute: (attempt: number) => Promise<T>): Promise<T> {
    let cancelTimer = (): void => undefined;
    let expired = false;
    let leave = (): void => undefined;
    const timeout = new Promise<never>((_, reject) => {
      cancelTimer = this.clock.after(this.timeoutMs, () => {
        expired = true;
        leave();
        this.cut(`${name} was not answered in time`);
        reject(unavailable(new Error(`no answer within ${this.timeoutMs} ms`)));
      });
    });
    timeout.catch(() => undefined); // the time may be up after the answer
    try {
      for (let attempt = 0; ; attempt += 1) {
        while (!this.connected && !this.closed) {
          const up = new Promise<void>((resolve) => {
            this.waiting.add(resolve);
            leave = () => this.waiting.delete(resolve);
          });
          await Promise.race([up, timeout]);
        }
        if (this.closed) throw new AnynodeError('closed', 'The connection is closed');
        try {
          return await Promise.race([this.attempt(name, () => execute(attempt)), timeout]);
        } catch (error) {
          if ((expired as boolean) || error instanceof AnynodeError) throw error;
          await Promise.race([this.pause(Math.min(20 * 2 ** attempt, 250)), timeout]);
        }
      }
    } finally {
      cancelTimer();
    }
  }

  /**
   * Breaks the connection. Calls that were sent fail, whether or not they take effect. A new connection can be made after
   * `downMs`.
   */
  cut(why: string, { downMs = RECONNECT_MS, arrives = true } = {}): void {
    if (this.process.state === 'dead') return;
    const { scheduler, random } = this;
    const broken = this.attempts.splice(0);
    if (broken.length > 0) scheduler.note(`${this.process.name} link breaks: ${why}`);
    this.connected = false;
    this.reconnectBy(Math.max(this.reconnectAt, scheduler.now + downMs));
    let may = arrives;
    let at = scheduler.now;
    for (const attempt of broken) {
      may &&= attempt.executed || (attempt.sent && random.chance(0.6));
      if (!may) attempt.sent = false;
      else if (!attempt.executed) {
        at += random.next() * random.pick([RECONNECT_MS / 4, RECONNECT_MS, LATE_MS]);
        this.late.push(attempt);
        scheduler.after(at - scheduler.now, () => this.arriveLate(attempt));
      }
      if (attempt.settled) continue;
      attempt.settled = true;
      scheduler.after(0, () => attempt.fail(new Error('connection lost')), this.process);
    }
  }

  /** Ends all faults of this connection. A new one can be made soon. */
  heal(): void {
    this.stalledUntil = this.scheduler.now;
    if (!this.connected) this.reconnectBy(Math.min(this.reconnectAt, this.scheduler.now + 50));
  }

  close(): void {
    this.closed = true;
    this.cut('closed');
    this.wake();
  }

  private reconnectBy(at: number): void {
    if (at === this.reconnectAt) return;
    this.reconnectAt = at;
    const { scheduler } = this;
    const reconnect = (): void => {
      if (this.connected || this.closed || at !== this.reconnectAt) return;
      this.fence();
      this.connected = true;
      this.lastArrival = 0;
      this.lastReply = 0;
      this.wake();
      this.onReconnected();
    };
    scheduler.after(at - scheduler.now, reconnect, this.process);
  }

  /**
   * A new connection first ends the earlier one at the server. Calls of the earlier one that have not arrived by then never
   * arrive.
   */
  private fence(): void {
    for (const attempt of this.late.splice(0)) attempt.sent = false;
  }

  private arriveLate(attempt: Attempt): void {
    if (!attempt.sent) return;
    this.late = this.late.filter((other) => other !== attempt);
    this.scheduler.note(`${this.process.name} late arrives: ${attempt.name}`);
    attempt.arrive();
  }

  private wake(): void {
    const waiting = [...this.waiting];
    this.waiting.clear();
    for (const resolve of waiting) resolve();
  }

  private attempt<T>(name: string, execute: () => Promise<T>): Promise<T> {
    const faults = this.faults();
    const { random, scheduler } = this;
    const fault = random.next();
    const refused = fault < faults.refuse;
    const losesCall = !refused && fault < faults.refuse + faults.loseCall;
    const losesReply =
      !refused && !losesCall && fault < faults.refuse + faults.loseCall + faults.loseReply;
    return new Promise<T>((resolve, reject) => {
      const arrive = (): void => {
        attempt.executed = true;
        const outcome = refused
          ? Promise.reject(new Error('LOADING the backplane is busy'))
          : execute();
        outcome.then(
          (value) => {
            if (losesReply) this.loseReplyTo(attempt);
            else this.reply(attempt, () => resolve(value));
          },
          (error: unknown) => this.reply(attempt, () => reject(error)),
        );
      };
      const attempt: Attempt = {
        ...{ name, sent: true, executed: false, settled: false },
        ...{ arrive, fail: reject },
      };
      this.attempts.push(attempt);
      const arrival = Math.max(
        scheduler.now + random.next() * faults.latencyMs,
        this.stalledUntil,
        this.lastArrival + 1e-3,
      );
      this.lastArrival = arrival;
      scheduler.after(arrival - scheduler.now, () => {
        // If the connection broke meanwhile, `cut` has decided whether and when this call arrives.
        if (!attempt.sent || !this.attempts.includes(attempt)) return;
        if (losesCall) {
          attempt.sent = false;
          this.cut(`${name} is lost`);
        } else {
          attempt.arrive();
        }
      });
    });
  }

  private loseReplyTo(attempt: Attempt): void {
    // A call of an earlier connection gets no reply anyway.
    if (this.attempts.includes(attempt)) this.cut(`the reply to ${attempt.name} is lost`);
  }

  private reply(attempt: Attempt, settle: () => void): void {
    if (attempt.settled) return;
    const { scheduler } = this;
    const due = Math.max(
      scheduler.now + this.random.next() * this.faults().latencyMs,
      this.lastReply + 1e-3,
    );
    this.lastReply = due;
    scheduler.after(
      due - scheduler.now,
      () => {
        if (attempt.settled) return;
        attempt.settled = true;
        this.attempts = this.attempts.filter((other) => other !== attempt);
        settle();
      },
      this.process,
    );
  }

  private pause(ms: number): Promise<void> {
    return new Promise((resolve) => this.clock.after(ms, resolve));
  }
}
