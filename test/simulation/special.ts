import type { Action, Fault, LegacyStep, Setting, ToolCall } from './plan.js';
import type { Random } from './random.js';

/** The parts of a plan that is being made. */
export interface Draft {
  setting: Setting;
  /** The actions so far. */
  actions: Action[];
  /** The latest time of an action. */
  horizonMs: number;
  /** Draws a tool call. */
  callOf: (random: Random) => ToolCall;
  isOff: (fault: Fault) => boolean;
}

/**
 * Adds what only some runs do: changes the settings, and returns the actions. Each kind draws from its own sequence of
 * random numbers, and a new kind comes last. So each seed keeps its meaning.
 */
export function specialsOf(random: Random, draft: Draft): Action[] {
  const kinds = [
    limits,
    retention,
    expiry,
    bigMessages,
    requests,
    subscriptions,
    legacy,
    tasks,
    audit,
    earlyReads,
  ];
  return kinds.flatMap((kind) => kind(random.fork(), draft));
}

/** Low limits, which clients reach. The limit of sessions is reached by further sessions. */
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

/** Small logs, so that they are trimmed while clients are away or read slowly. */
function retention(random: Random, { setting, isOff }: Draft): Action[] {
  if (isOff('retention') || !random.chance(0.15)) return [];
  setting.retention = {
    maxEvents: random.pick([10, 30, 10_000]),
    maxAgeMs: random.pick([1000, 4000, 3_600_000]),
    maxBytes: random.pick([2000, 10_000, 64 << 20]),
  };
  return [];
}

/** A short lifetime of sessions, so that unused sessions expire. The clock of the backplane does not jump in such a run. */
function expiry(random: Random, { setting, actions, isOff }: Draft): Action[] {
  if (isOff('expiry') || !random.chance(0.12)) return [];
  setting.sessionTtlMs = random.pick([1500, 4000]);
  for (const action of actions) if (action.do === 'failover') action.clockMs = 0;
  return [];
}

/** Messages of servers that are longer than a buffer or a page of the log, and clients that often read slowly. */
function bigMessages(random: Random, { setting, actions, horizonMs, isOff }: Draft): Action[] {
  if (isOff('bigMessages') || !random.chance(0.12)) return [];
  // Runs have few of the longest messages, because these take much time.
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

/** Requests of applications to clients, outside of any call. */
function requests(random: Random, { setting, horizonMs, isOff }: Draft): Action[] {
  if (isOff('request') || !random.chance(0.2)) return [];
  return Array.from({ length: random.int(2, 10) }, () => ({
    ...{ at: random.int(300, horizonMs), do: 'request' },
    client: random.int(0, setting.clients - 1),
    slot: random.int(0, setting.nodes - 1),
  }));
}

/** Subscriptions to resources, and changes of these resources. */
function subscriptions(random: Random, draft: Draft): Action[] {
  const { setting, actions, horizonMs, isOff } = draft;
  if (isOff('subscribe') || !random.chance(0.2)) return [];
  // With `notify`, a node may store a message although it has lately seen no log id of any session. After a failover to a
  // clock that is behind, a client's cursor may then name another message (see docs/guarantees.md). The checks do not allow
  // for that.
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

/** Clients of HTTP+SSE, in addition to the others. */
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

/** Tool calls as tasks, in sessions of the protocol revision that has tasks. */
function tasks(random: Random, { setting, actions, horizonMs, callOf, isOff }: Draft): Action[] {
  if (isOff('task') || (!random.chance(0.2) && !setting.tasks)) return [];
  setting.tasks = true;
  // Tasks must be over before the end of the run. If a failover has lost the end of a task, it goes on until its time is
  // over.
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

/** An audit trail, whose sink fails and hangs at times. */
function audit(random: Random, { setting, actions, isOff }: Draft): Action[] {
  if (isOff('audit') || (!random.chance(0.12) && setting.audit === undefined)) return [];
  const { trouble } = setting;
  setting.audit = {
    whenFull: random.pick(['refuse', 'drop']),
    maxSessionBytes: random.pick([1500, 5000, 64 << 20, 64 << 20]),
    maxTotalBytes: random.pick([4000, 256 << 20, 256 << 20]),
    sinkMs: random.pick([1, 20, 300]),
    failSink: trouble && random.chance(0.7) ? random.next() * 0.6 : 0,
    hangSink: trouble && random.chance(0.7) ? random.next() * 0.3 : 0,
    hangMs: random.pick([1000, 5000, 12_000]),
  };
  // The outbox of a memory backplane goes back as a whole, and so all sessions have to go back with it.
  for (const action of actions) if (action.do === 'failover') action.share = 1;
  return [];
}

/** A tool that changes nothing. */
function earlyReads(random: Random, { setting }: Draft): Action[] {
  setting.readOnly = random.chance(0.4);
  return [];
}
