import type { Action, Fault, Setting, ToolCall } from './plan.js';
import type { Random } from './random.js';

/** What the plan of a run is made with. */
export interface Draft {
  setting: Setting;
  /** What it does so far. */
  actions: Action[];
  /** When the last action may be. */
  horizonMs: number;
  /** Draws what a call does. */
  callOf: (random: Random) => ToolCall;
  isOff: (fault: Fault) => boolean;
}

/**
 * What only some runs do: changes the setting, and returns the actions. Each kind has a row of numbers of its own, and a new
 * kind comes last: so each seed goes on to mean what it meant.
 */
export function specialsOf(random: Random, draft: Draft): Action[] {
  const kinds = [limits, retention, expiry];
  return kinds.flatMap((kind) => kind(random.fork(), draft));
}

/** Limits that clients reach, one of them by further sessions. */
function limits(random: Random, { setting, horizonMs, isOff }: Draft): Action[] {
  if (isOff('limits') || !random.chance(0.2)) return [];
  setting.limits = {
    ...(random.chance(0.6) && { requestsPerSession: random.int(2, 4) }),
    ...(random.chance(0.6) && { streamsPerSession: random.int(3, 5) }),
    ...(random.chance(0.3) && { batchSize: 1 }),
    ...(random.chance(0.6) && { sessionsPerPrincipal: random.int(2, 4) }),
  };
  if (setting.limits.sessionsPerPrincipal === undefined) return [];
  return Array.from({ length: random.int(3, 15) }, () => ({
    ...{ at: random.int(300, horizonMs), do: 'begin' },
    client: random.int(0, setting.clients - 1),
    slot: random.int(0, setting.nodes - 1),
    leavesAfterMs: random.chance(0.6) ? random.int(0, 4000) : undefined,
  }));
}

/** Little is kept, so that logs are trimmed while clients are away or read slowly. */
function retention(random: Random, { setting, isOff }: Draft): Action[] {
  if (isOff('retention') || !random.chance(0.15)) return [];
  setting.retention = {
    maxEvents: random.pick([10, 30, 10_000]),
    maxAgeMs: random.pick([1000, 4000, 3_600_000]),
    maxBytes: random.pick([2000, 10_000, 64 << 20]),
  };
  return [];
}

/** Sessions expire where nobody uses them for a few seconds. Nothing is said of them where the clock of the backplane jumps. */
function expiry(random: Random, { setting, actions, isOff }: Draft): Action[] {
  if (isOff('expiry') || !random.chance(0.12)) return [];
  setting.sessionTtlMs = random.pick([1500, 4000]);
  for (const action of actions) if (action.do === 'failover') action.clockMs = 0;
  return [];
}
