import type { Cluster, Redis } from 'ioredis';
import { decodedObservation } from '../../backplane/encoded/decoded-observation.js';
import type { PayloadCodec } from '../../backplane/encoded/payloads.js';
import { Payloads } from '../../backplane/encoded/payloads.js';
import type { Observation } from '../../backplane/observation.js';
import { RedisObservation } from '../../backplane/redis/redis-observation.js';
import type { AuditTarget } from '../../options/audit-option.js';
import { readTarget, sealWithOf } from '../../options/audit-option.js';
import { checkCodec, checkPrefix, checkRedis } from '../../options/backplane-option.js';
import type { Logger, Redact } from '../../options/public-types.js';
import { AnynodeError } from '../../protocol/errors.js';
import { randomNodeId } from '../../protocol/node-id.js';
import type { Clock } from '../../protocol/timing/clock.js';
import { systemClock } from '../../protocol/timing/clock.js';
import { unheld } from '../../protocol/unheld.js';
import { Archiver } from './archiver.js';
import { sinkOf } from './sink-of.js';

/** Says what {@link archive} reads, and where the records go. */
export interface ArchiveOptions {
  /** The Redis of the nodes: a URL, or a client whose settings are copied. The client is neither used nor closed. */
  redis: string | Redis | Cluster;
  /** The `prefix` of the nodes. Default `mcp`. */
  prefix?: string | undefined;
  /** Where the records go, as the member `sink` of the option `audit`. */
  sink: AuditTarget;
  /**
   * The `codec` of the nodes. Without it, records of encoded messages are `unreadable` for good, and have no message. Default:
   * none.
   */
  codec?: PayloadCodec | undefined;
  /** As the option `redact` of a node. Default: messages are kept as they are. */
  redact?: Redact | undefined;
  /** True: the messages in the trail are encoded by `codec`. Default `false`. */
  encrypt?: boolean | undefined;
  /** How long a call may wait for Redis, in milliseconds. Default 2 seconds. */
  commandTimeoutMs?: number | undefined;
  /**
   * How long the lease lasts without a renewal, in milliseconds. After that time another archiver takes over. Default 10
   * seconds.
   */
  leaseMs?: number | undefined;
  /** Where the log goes. Default `console`. */
  logger?: Logger | undefined;
}

/** An archiver of its own, which is not part of a node. */
export interface Archive {
  /**
   * Resolves once everything that waited at the call has been delivered, by this archiver or by another one. Rejects if nothing
   * of that is delivered for `stalledMs` (default 30 seconds), if Redis cannot be reached at the call, or if `close` is called.
   */
  delivered(options?: { stalledMs?: number }): Promise<void>;
  /**
   * Delivers what waits, for at most `limitMs` (default 10 seconds), then gives the lease up, and closes the sink and the
   * connections. Never rejects. A second call does nothing more.
   */
  close(options?: { limitMs?: number }): Promise<void>;
}

/** What waits is looked at again after this time. */
const LOOK_MS = 200;

/**
 * Delivers the audit trail of a cluster to a sink until `close` is called. Of all archivers of a cluster, those in nodes
 * included, one at a time delivers. The others wait to take its place.
 *
 * Returns at once, and connects in the background. Errors of Redis and of the sink are logged, and tried again. Throws a
 * `TypeError` for options that make no sense.
 */
export function archive({
  redis,
  prefix = 'mcp',
  sink: target,
  codec,
  redact,
  encrypt = false,
  commandTimeoutMs = 2_000,
  leaseMs = 10_000,
  logger = console,
}: ArchiveOptions): Archive {
  checkRedis(redis);
  checkPrefix(prefix);
  checkCodec(codec);
  const checked = readTarget(target, 'sink');
  if (checked === undefined) throw new TypeError('mcp-anynode: `sink` is missing');
  for (const [name, ms] of Object.entries({ commandTimeoutMs, leaseMs })) {
    if (Number.isSafeInteger(ms) && ms > 0) continue;
    throw new TypeError(`mcp-anynode: \`${name}\` has to be a whole number of at least 1`);
  }
  const sealWith = sealWithOf(encrypt, codec);
  const clock = systemClock;
  const stored = new RedisObservation({ redis, prefix, clock, commandTimeoutMs, logger });
  const observation: Observation =
    codec === undefined
      ? stored
      : decodedObservation(stored, new Payloads(codec, { clock, logger }));
  const archiver = new Archiver({
    ...{ outboxes: observation.audit, sessions: observation, sink: sinkOf(checked) },
    ...{ archiver: randomNodeId(), leaseMs, clock, logger, redact, sealWith },
  });
  archiver.start();
  return {
    delivered: ({ stalledMs = 30_000 } = {}) =>
      unheld(untilDelivered(observation, clock, stalledMs)),
    close: ({ limitMs = 10_000 } = {}) =>
      unheld(archiver.close(limitMs).finally(() => observation.close())),
  };
}

/** Waits until nothing is in the outboxes that was there at the call. */
async function untilDelivered(
  observation: Observation,
  clock: Clock,
  stalledMs: number,
): Promise<void> {
  const began = await observation.now();
  let seen: number | undefined;
  let seenAt = clock.elapsed();
  for (;;) {
    let reason: unknown;
    try {
      const { oldest = Infinity } = await observation.audit.waiting();
      if (oldest > began) return;
      if (oldest !== seen) [seen, seenAt] = [oldest, clock.elapsed()];
    } catch (error) {
      // The archiver tries again, too.
      if (!(error instanceof AnynodeError && error.code === 'backplane_unavailable')) throw error;
      reason = error;
    }
    if (clock.elapsed() - seenAt >= stalledMs) {
      throw new Error(
        `mcp-anynode: nothing was delivered for ${stalledMs / 1000} s: what waits is still in the backplane`,
        { cause: reason },
      );
    }
    await new Promise<void>((resolve) => clock.after(LOOK_MS, resolve));
  }
}
