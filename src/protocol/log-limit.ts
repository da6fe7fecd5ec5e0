import type { Clock } from './timing/clock.js';

const EVERY_MS = 10_000;

/**
 * Limits how often a kind of message is written to the node's log output: once in ten seconds. That message also says how
 * many were left out before it. The kinds are few and fixed. Text from a client must not become a kind.
 */
export class LogLimit {
  private readonly kinds = new Map<string, { at: number; skipped: number }>();

  constructor(private readonly clock: Pick<Clock, 'elapsed'>) {}

  /** Calls `log` with a text for the end of the message, unless the last message of this kind is less than 10 s old. */
  pass(kind: string, log: (more: string) => void): void {
    const now = this.clock.elapsed();
    const last = this.kinds.get(kind);
    if (last !== undefined && now - last.at < EVERY_MS) {
      last.skipped += 1;
      return;
    }
    this.kinds.set(kind, { at: now, skipped: 0 });
    log(last === undefined || last.skipped === 0 ? '' : ` (and ${last.skipped} times more before)`);
  }
}
