import { setImmediate } from 'node:timers';
import type { Revision } from '../../backplane/revision.js';

/**
 * What came of storing a request that began before it was stored:
 *
 * - `exchanged`: it is stored together with its answer, and has ended. The revision is the record's;
 * - `opened`: it is stored, and goes on like any other;
 * - `withdrawn`: it is not stored. What its server has said about it is not stored either, and is not shown.
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
  /** Resolves when the request is stored and its connection follows its stream, or when it is withdrawn. */
  readonly outcome: Promise<EarlyOutcome>;
  settle: (outcome: EarlyOutcome) => void = () => undefined;
  private isSent = false;

  /** `send` is called once, with the answer if there is one. It submits the step that stores the request. */
  constructor(private readonly send: (answer: EarlyAnswer | undefined) => void) {
    this.outcome = new Promise((resolve) => (this.settle = resolve));
  }

  /** Submits the request without its answer, unless it was submitted before. What is submitted next is stored after it. */
  open(): void {
    if (this.isSent) return;
    this.isSent = true;
    this.send(undefined);
  }

  /** Submits the request together with its answer. Returns `false` if the request was submitted before. */
  exchange(answer: EarlyAnswer): boolean {
    if (this.isSent) return false;
    this.isSent = true;
    this.send(answer);
    return true;
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
    for (const call of [...this.before.splice(0), ...this.now.splice(0)]) call.open();
  }

  private readonly turn = (): void => {
    for (const call of this.before) call.open();
    this.before = this.now;
    this.now = [];
    this.isScheduled = this.before.length > 0;
    if (this.isScheduled) setImmediate(this.turn);
  };
}
