import type { LogId } from '../backplane/backplane.js';
import { compareLogIds } from '../backplane/backplane.js';
import type { Clock } from '../protocol/timing/clock.js';

/** A log id that is further than this ahead of the node's clock is ignored, because it is wrong or made up. */
const FURTHEST_MS = 24 * 60 * 60_000;

/**
 * Remembers the latest log id that this node has seen in any session. Log ids come from the clock of the Redis master.
 * After a failover, the new master's clock may be behind. New log ids still have to come after those that were seen before.
 * Otherwise a client's cursor of a lost message could name a new message.
 */
export class LogHorizon {
  private latest: LogId | undefined;

  constructor(private readonly clock: Pick<Clock, 'now'>) {}

  saw(logId: LogId): void {
    if (this.latest !== undefined && compareLogIds(logId, this.latest) <= 0) return;
    if (Number.parseInt(logId, 10) > this.clock.now() + FURTHEST_MS) return;
    this.latest = logId;
  }

  /** The log ids of a commit have to come after this one. */
  get after(): LogId | undefined {
    return this.latest;
  }
}
