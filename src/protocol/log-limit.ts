import type { Clock } from './clock.js';

const EVERY_MS = 10_000;

/**
 * Keeps messages of the log from flooding it: of each kind one is let through in ten seconds, and says how many were not.
 * Kinds are few and fixed; nothing that a client says may be one.
 */
export class LogLimit {
  private readonly kinds = new Map<string, { at: number; skipped: number }>();

  constructor(private readonly clock: Pick<Clock, 'elapsed'>) {}

  /** Calls `log` with a text to put at the end of the message, unless another of its kind was let through just now. */
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
