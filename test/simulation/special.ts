import type { Action, Fault, LegacyStep, Setting, ToolCall } from './plan.js';
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
  const kinds = [limits, retention, expiry, bigMessages, requests, subscriptions, legacy, tasks];
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

/** Servers say what is longer than buffers, or than a page of the log; and clients often read slowly. */
function bigMessages(random: Random, { setting, actions, horizonMs, isOff }: Draft): Action[] {
  if (isOff('bigMessages') || !random.chance(0.12)) return [];
  // Few of the longest: they take much of the time of a run.
  const bytes = random.pick([3000, 3000, 30_000, 300_000]);
  const share = bytes > 100_000 ? 0.1 : 0.4;
  for (const action of actions) {
    const calls = action.do === 'call' ? action.calls : action.do === 'reuse' ? [action] : [];
    for (const call of calls) {
      for (const step of call.steps) {
        if ('bytes' in step && random.chance(share)) step.bytes = bytes;
      }
      if (random.chance(share)) call.steps.push({ do: 'fill', bytes });
    }
  }
  return Array.from({ length: random.int(0, 8) }, () => ({
    ...{ at: random.int(300, horizonMs), do: 'stall' },
    client: random.int(0, setting.clients - 1),
    ...{ which: random.int(0, 9), ms: random.int(50, 3000) },
  }));
}

/** Applications that ask clients something outside of any call. */
function requests(random: Random, { setting, horizonMs, isOff }: Draft): Action[] {
  if (isOff('request') || !random.chance(0.2)) return [];
  return Array.from({ length: random.int(2, 10) }, () => ({
    ...{ at: random.int(300, horizonMs), do: 'request' },
    client: random.int(0, setting.clients - 1),
    slot: random.int(0, setting.nodes - 1),
  }));
}

/** Clients that subscribe to resources, which change. */
function subscriptions(random: Random, draft: Draft): Action[] {
  const { setting, actions, horizonMs, isOff } = draft;
  if (isOff('subscribe') || !random.chance(0.2)) return [];
  // A node that has seen nothing of a session stores in it: what that means under a clock that is behind is documented.
  const goesBack = actions.some((action) => action.do === 'failover' && action.clockMs < 0);
  return Array.from({ length: random.int(6, 25) }, (): Action => {
    const at = random.int(300, horizonMs);
    const slot = random.int(0, setting.nodes - 1);
    const uri = random.pick(['r1', 'r1', 'r2']);
    const client = random.int(0, setting.clients - 1);
    const on = random.chance(0.7);
    if (!goesBack && random.chance(0.5)) return { at, do: 'resourceUpdated', slot, uri };
    return { at, do: 'subscribe', client, slot, uri, on };
  });
}

const LEGACY_STEPS: Record<LegacyStep, number> = {
  ...{ cancel: 1.5, breakOff: 1, stall: 1, intrude: 0.5, push: 3, request: 1 },
};

/** Clients of HTTP+SSE beside the others. */
function legacy(random: Random, { setting, horizonMs, callOf, isOff }: Draft): Action[] {
  if (isOff('legacy') || (!random.chance(0.2) && setting.legacyClients === 0)) return [];
  setting.legacyClients = random.int(1, 2);
  return Array.from({ length: random.int(8, 30) }, (): Action => {
    const at = random.int(300, horizonMs);
    const client = random.int(0, setting.legacyClients - 1);
    const slot = random.int(0, setting.nodes - 1);
    if (random.chance(0.6)) return { ...{ at, do: 'legacyCall', client, slot }, ...callOf(random) };
    const what = random.weighted(LEGACY_STEPS);
    const ms = what === 'stall' ? random.int(50, 3000) : random.pick([1, 20, 5000]);
    return { at, do: 'legacy', what, client, slot, which: random.int(0, 9), ms };
  });
}

/** Tools that are called as tasks, in sessions of the revision that has them. */
function tasks(random: Random, { setting, actions, horizonMs, callOf, isOff }: Draft): Action[] {
  if (isOff('task') || (!random.chance(0.2) && !setting.tasks)) return [];
  setting.tasks = true;
  // Over before the end of the run: a task whose end the backplane has lost goes on for so long.
  const longest = actions.some((action) => action.do === 'failover') ? 12_000 : 30_000;
  return Array.from({ length: random.int(8, 30) }, (): Action => {
    const at = random.int(300, horizonMs);
    const client = random.int(0, setting.clients - 1);
    const slot = random.int(0, setting.nodes - 1);
    if (random.chance(0.4)) {
      const ttl = random.pick([longest, longest, longest, 4000]);
      const wish = { ttl, pollInterval: random.pick([300, 1000, 5000]) };
      return { ...{ at, do: 'task', client, slot, wish }, ...callOf(random), tool: 'run' };
    }
    const what = random.weighted({ result: 5, get: 3, cancel: 1 });
    return { at, do: 'askTask', client, slot, what, which: random.int(0, 9) };
  });
}
