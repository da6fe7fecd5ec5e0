import { AnynodeError, unavailable } from '../../src/errors.js';
import type { Clock } from '../../src/protocol/clock.js';
import type { Random } from './random.js';
import type { Process, Scheduler } from './scheduler.js';

/** How a node's connection to the backplane behaves. Times in milliseconds, chances per call. */
export interface LinkFaults {
  latencyMs: number;
  /** The connection breaks after the call took effect, and its reply is lost. */
  loseReply: number;
  /** It breaks before the call arrives. */
  loseCall: number;
  /** The backplane says "not now". */
  refuse: number;
}

interface Attempt {
  sent: boolean;
  executed: boolean;
  settled: boolean;
  fail: (error: Error) => void;
}

const RECONNECT_MS = 40;

/**
 * A node's connection for commands. They arrive and are answered in order; a break loses all replies that are on their
 * way, and the calls behind one of them. Calls are repeated as `backplane/redis/connection.ts` does it: until they are
 * answered, or the time is up.
 */
export class Link {
  /** Calls that are sent before then arrive after it. */
  stalledUntil = 0;
  /** No connection can be made before then. */
  downUntil = 0;
  private attempts: Attempt[] = [];
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
  ) {}

  get isUp(): boolean {
    return this.scheduler.now >= this.downUntil;
  }

  /** `attempt` counts from 0: how often the call was tried before. */
  async run<T>(name: string, execute: (attempt: number) => Promise<T>): Promise<T> {
    let cancelTimer = (): void => undefined;
    let expired = false;
    const timeout = new Promise<never>((_, reject) => {
      cancelTimer = this.clock.after(this.timeoutMs, () => {
        expired = true;
        this.cut(`${name} was not answered in time`);
        reject(unavailable(new Error(`no answer within ${this.timeoutMs} ms`)));
      });
    });
    timeout.catch(() => undefined); // it may expire after the answer
    try {
      for (let attempt = 0; ; attempt += 1) {
        if (this.closed) throw new AnynodeError('closed', 'The connection is closed');
        while (!this.isUp) {
          await Promise.race([this.pause(this.downUntil - this.scheduler.now), timeout]);
        }
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

  /** Breaks the connection: what was sent fails, whether or not it takes effect. */
  cut(why: string): void {
    if (this.process.state === 'dead') return;
    const broken = this.attempts.splice(0);
    if (broken.length > 0) this.scheduler.note(`${this.process.name} link breaks: ${why}`);
    this.downUntil = Math.max(this.downUntil, this.scheduler.now + RECONNECT_MS);
    // Of what has not arrived yet, the first few may still do so; the new connection comes after them.
    let arrives = true;
    for (const attempt of broken) {
      arrives &&= attempt.executed || this.random.chance(0.5);
      if (!arrives) attempt.sent = false;
      if (attempt.settled) continue;
      attempt.settled = true;
      this.scheduler.after(0, () => attempt.fail(new Error('connection lost')), this.process);
    }
  }

  close(): void {
    this.closed = true;
    this.cut('closed');
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
      const attempt: Attempt = { sent: true, executed: false, settled: false, fail: reject };
      this.attempts.push(attempt);
      const arrival = Math.max(
        scheduler.now + random.next() * faults.latencyMs,
        this.stalledUntil,
        this.lastArrival + 1e-3,
      );
      this.lastArrival = arrival;
      const arrive = (): void => {
        if (!attempt.sent) return;
        if (losesCall) {
          attempt.sent = false;
          this.cut(`${name} is lost`);
          return;
        }
        attempt.executed = true;
        const outcome = refused
          ? Promise.reject(new Error('LOADING the backplane is busy'))
          : execute();
        outcome.then(
          (value) => {
            if (losesReply) this.cut(`the reply to ${name} is lost`);
            else this.reply(attempt, () => resolve(value));
          },
          (error: unknown) => this.reply(attempt, () => reject(error)),
        );
      };
      scheduler.after(arrival - scheduler.now, arrive);
    });
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
