import { setImmediate } from 'node:timers';
import type { Revision } from '../../backplane/revision.js';

/**
 * What came of storing a request that began before it was stored:
 *
 * - `exchanged`: it is stored together with its answer, and has ended;
 * - `opened`: it is stored, and goes on like any other;
 * - `withdrawn`: it is not stored, or it has to run again. Nothing that it says is stored or shown.
 */
export type EarlyOutcome =
  { kind: 'exchanged'; revision: Revision } | { kind: 'opened' } | { kind: 'withdrawn' };

/** The answer to a request, as JSON. */
export interface EarlyAnswer {
  message: string;
  failed: boolean;
}

/**
 * A request that began before it was stored (see docs/decisions/0025-begin-before-storing.md). It is stored once: with its
 * answer if that comes at once, else alone.
 */
export class EarlyCall {
  private isSent = false;
  private resolve: (outcome: EarlyOutcome) => void = () => undefined;
  private readonly outcome = new Promise<EarlyOutcome>((resolve) => (this.resolve = resolve));

  /** `store` is called once. It stores the request, with its answer if it gets one, and sees to it that `settle` is called. */
  constructor(private readonly store: (answer: EarlyAnswer | undefined) => void) {}

  /**
   * Stores the request and its answer in one step, unless the request is being stored already. If the outcome is `opened`, the
   * answer has still to be stored.
   */
  end(answer: EarlyAnswer | undefined): Promise<EarlyOutcome> {
    this.send(answer);
    return this.outcome;
  }

  /** Stores the request without its answer, unless it is being stored already. */
  open(): Promise<EarlyOutcome> {
    this.send(undefined);
    return this.outcome;
  }

  settle(outcome: EarlyOutcome): void {
    this.resolve(outcome);
  }

  private send(answer: EarlyAnswer | undefined): void {
    if (this.isSent) return;
    this.isSent = true;
    this.store(answer);
  }
}

/**
 * The requests of one session that are held back. Each waits for its answer for one or two turns of the event loop. Most answers
 * that wait for nothing outside the process are there by then.
 */
export class HeldCalls {
  private before: EarlyCall[] = [];
  private now: EarlyCall[] = [];
  private isScheduled = false;

  hold(call: EarlyCall): void {
    this.now.push(call);
    if (this.isScheduled) return;
    this.isScheduled = true;
    setImmediate(this.turn);
  }

  /** Stores all of them before anything else of the session that is stored from now on. */
  release(): void {
    if (!this.isScheduled) return;
    for (const call of [...this.before.splice(0), ...this.now.splice(0)]) void call.open();
  }

  private readonly turn = (): void => {
    for (const call of this.before) void call.open();
    this.before = this.now;
    this.now = [];
    this.isScheduled = this.before.length > 0;
    if (this.isScheduled) setImmediate(this.turn);
  };
}
