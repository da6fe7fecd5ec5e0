import type { LogId } from '../backplane/backplane.js';
import { compareLogIds } from '../backplane/backplane.js';
import type { Clock } from '../protocol/clock.js';

/** A log id that is further ahead of this node's clock is no place in a log, but a mistake, or made up. */
const FURTHEST_MS = 24 * 60 * 60_000;

/**
 * The latest log id that this node has seen, in any session. Log ids go by the clock of the Redis master. After a failover
 * they must not begin again before those that were seen already, whatever the new master's clock says: a client that has seen
 * a message which is lost would take the next one for the one that it has.
 */
export class LogHorizon {
  private latest: LogId | undefined;

  constructor(private readonly clock: Pick<Clock, 'now'>) {}

  saw(logId: LogId): void {
    if (this.latest !== undefined && compareLogIds(logId, this.latest) <= 0) return;
    if (Number.parseInt(logId, 10) > this.clock.now() + FURTHEST_MS) return;
    this.latest = logId;
  }

  /** After this the log ids of a commit begin. */
  get after(): LogId | undefined {
    return this.latest;
  }
}
