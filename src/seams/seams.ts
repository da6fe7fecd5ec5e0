import type { Membership } from '../backplane/backplane.js';
import type { SeamStore } from '../backplane/seams.js';
import { randomNodeId } from '../cluster/node-id.js';
import type { AnynodeOptions } from '../options.js';
import { AnynodeError } from '../errors.js';
import { backplaneOf, positive, rejectUnknown } from '../options.js';
import { systemClock } from '../protocol/clock.js';
import type { Logger } from '../session/types.js';
import { serverEventBus } from './server-event-bus.js';
import type { Seams } from './types.js';

/** As for `anynode`, with the same defaults. */
export interface SeamsOptions extends Pick<
  AnynodeOptions,
  'redis' | 'backplane' | 'prefix' | 'leaseMs' | 'commandTimeoutMs' | 'logger'
> {
  /** How long what is stored is kept. Default 1 hour. */
  retention?: { maxEvents?: number; maxAgeMs?: number } | undefined;
}

const KNOWN: Record<keyof SeamsOptions, true> = {
  redis: true,
  backplane: true,
  prefix: true,
  leaseMs: true,
  commandTimeoutMs: true,
  retention: true,
  logger: true,
};

const HOUR = 3_600_000;

/**
 * The SDK's own seams on a backplane, without the middleware. Whoever is given the same `redis` and `prefix` shares
 * what is in them, nodes with the middleware included.
 *
 * Returns at once, and connects when the first of them is used. Throws a `TypeError` for options that make no sense.
 */
export function seams(given: SeamsOptions): Seams & { close(): Promise<void> } {
  rejectUnknown(given, KNOWN);
  const backplane = backplaneOf(given);
  const logger = given.logger ?? console;
  const retention = given.retention ?? {};
  const settings = {
    leaseMs: positive(given, 'leaseMs', 10_000),
    commandTimeoutMs: positive(given, 'commandTimeoutMs', 2_000),
    retention: {
      maxEvents: positive(retention, 'maxEvents', 10_000),
      maxAgeMs: positive(retention, 'maxAgeMs', HOUR),
    },
  };
  let membership: Membership | undefined;
  const join = (): Membership =>
    backplane.join({
      ...settings,
      nodeId: randomNodeId(),
      clock: systemClock,
      // It has no sessions.
      sessionTtlMs: 24 * HOUR,
      pendingTtlMs: HOUR,
      onMessage: () => undefined,
      onLapse: () => undefined,
      onLost: () => undefined,
      logger,
    });
  let closed = false;
  const opened = seamsOn(
    () => {
      if (closed && membership === undefined) throw new AnynodeError('closed', 'This was closed');
      return (membership ??= join());
    },
    { logger },
  );
  return {
    ...opened.parts,
    close: async () => {
      closed = true;
      opened.close();
      await membership?.leave();
    },
  };
}

/** The seams of a node whose membership there is, or will be when it is asked for. */
export function seamsOn(
  membership: () => Membership,
  { logger }: { logger: Logger },
): { parts: Seams; close(): void } {
  const store = (): SeamStore => {
    const { seams: given } = membership();
    if (given === undefined) {
      throw new TypeError(
        'mcp-anynode: this backplane has no room for the seams of the SDK (`Membership.seams`)',
      );
    }
    return given;
  };
  const bus = serverEventBus(() => store().broadcasts, logger);
  return { parts: { serverEventBus: bus }, close: () => bus.close() };
}
