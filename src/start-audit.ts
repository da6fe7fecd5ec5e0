import type { JoinedBackplane } from './backplane/backplane.js';
import type { Options } from './options/options.js';
import type { Clock } from './protocol/timing/clock.js';
import { atMost } from './stream/drain.js';

/** The archiver of a node, which may still be loading. */
export interface NodeAudit {
  /** Delivers what waits, for at most `limitMs`, and ends. Never rejects. */
  close(limitMs: number): Promise<void>;
}

/** Throws a `TypeError` if the option `audit` is given, and the backplane keeps nothing for an audit trail. */
export function checkAudit({ audit }: Options, backplane: JoinedBackplane): void {
  if (audit === undefined || backplane.audit !== undefined) return;
  throw new TypeError(
    'mcp-anynode: `audit` needs a backplane that keeps an audit trail, and this `backplane` does not',
  );
}

/**
 * Starts the archiver of a node if it has the option `audit` with a sink. Its code is an optional part, which is loaded only
 * then. The node serves clients meanwhile.
 */
export function startAudit(
  { audit, redact, logger, leaseMs }: Options,
  { backplane, nodeId, clock }: { backplane: JoinedBackplane; nodeId: string; clock: Clock },
): NodeAudit | undefined {
  if (audit?.sink === undefined) return undefined;
  const archiver = import('./audit/archiver/node-archiver.js')
    .then(({ startNodeArchiver }) =>
      startNodeArchiver(audit, backplane, { archiver: nodeId, leaseMs, clock, logger, redact }),
    )
    .catch((error: unknown) => {
      logger.error(`mcp-anynode: the archiver of the audit trail cannot start: ${String(error)}`);
      return undefined;
    });
  return {
    async close(limitMs) {
      const closed = archiver.then((started) => started?.close(limitMs));
      // The archiver has its own limit for each of its steps.
      await atMost(3 * limitMs, closed, clock);
    },
  };
}
