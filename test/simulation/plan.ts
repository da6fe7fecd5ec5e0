import type { Limits } from '../../src/options/limits.js';
import type { Random } from './random.js';
import type { ToolStep } from './server.js';
import { specialsOf } from './special.js';
import type { TaskWish } from './task-server.js';

/** The settings that a seed chooses for a whole run. */
export interface Setting {
  nodes: number;
  /** How far the clock of each node is ahead. */
  clocksMs: number[];
  clients: number;
  /** How many clients use HTTP+SSE. */
  legacyClients: number;
  /** Whether clients call tools as tasks. */
  tasks: boolean;
  responseMode: 'sse' | 'json';
  standaloneStream: 'takeover' | 'reject';
  recovery: 'error' | 'rerun-idempotent';
  affinity: 'any' | 'owner';
  versions: ('2025-06-18' | '2025-11-25')[];
  leaseMs: number;
  commandTimeoutMs: number;
  replicaIdleMs: number;
  maxReplicas: number;
  maxBufferedBytes: number;
  maxStreamAgeMs: number;
  keepAliveMs: number;
  retention: { maxEvents: number; maxAgeMs: number; maxBytes: number };
  sessionTtlMs: number;
  kernelBytes: number;
  /** The longest time that the factory takes, and how often it fails. */
  factoryMs: number;
  failFactory: number;
  /** The longest time that a message takes one way. */
  httpMs: number;
  backplaneMs: number;
  busMs: number;
  /** Chances per call or message. They are 0 in some runs, which show how the nodes behave when nothing fails. */
  loseReply: number;
  loseCall: number;
  refuse: number;
  reorder: number;
  duplicate: number;
  /** The longest time after which clients come back. */
  returnMs: number;
  /** Whether nodes crash, pause and lose connections at all. */
  trouble: boolean;
  /** Nothing fails, and the network is fast enough for every answer to come in time. */
  isQuick: boolean;
  limits: Partial<Limits>;
  /** Whether the tool `run` is annotated `readOnlyHint`, so that its calls begin before they are stored. */
  readOnly: boolean;
  /** The option `audit` of all nodes, and how their sink behaves. */
  audit: AuditSetting | undefined;
}

export interface AuditSetting {
  whenFull: 'refuse' | 'drop';
  maxSessionBytes: number;
  maxTotalBytes: number;
  /** The longest time that a batch takes to the sink, and its answer back. */
  sinkMs: number;
  /** The chances that the sink fails to store a batch, and that it hangs, and the longest time for which it hangs. */
  failSink: number;
  hangSink: number;
  hangMs: number;
}

export interface ToolCall {
  tool: string;
  steps: ToolStep[];
}

export type LegacyStep = 'cancel' | 'breakOff' | 'stall' | 'intrude' | 'push' | 'request';

export type Action = { at: number } & (
  | { do: 'call'; client: number; slot: number; calls: ToolCall[] }
  | { do: 'listen'; client: number; slot: number; withCursor: boolean }
  | { do: 'breakOff'; client: number; which: number; noticedMs: number }
  | { do: 'stall'; client: number; which: number; ms: number }
  | { do: 'cancel'; client: number; slot: number; which: number }
  | { do: 'setLevel'; client: number; slot: number }
  | { do: 'delete'; client: number; slot: number }
  | { do: 'roots'; client: number }
  | { do: 'intrude'; client: number; slot: number; how: 'principal' | 'session' }
  | { do: 'push'; client: number; slot: number }
  /** Begins a further session, and deletes it after a while or leaves it behind. */
  | { do: 'begin'; client: number; slot: number; leavesAfterMs: number | undefined }
  /** Calls a tool with the id of a call that was answered, or of one that still runs. */
  | ({ do: 'reuse'; client: number; slot: number; which: number; running: boolean } & ToolCall)
  /** A node's application adds 1 to the number that is the state of the session. */
  | { do: 'count'; client: number; slot: number }
  /** A node's application sends a request to the client of the session, outside of any call. */
  | { do: 'request'; client: number; slot: number }
  | { do: 'subscribe'; client: number; slot: number; uri: string; on: boolean }
  /** A node's application notifies the subscribers of a resource that the resource has changed. */
  | { do: 'resourceUpdated'; slot: number; uri: string }
  /** A node's application notifies all sessions that its tools have changed. */
  | { do: 'toolsChanged'; slot: number }
  /** Calls a tool as a task. */
  | ({ do: 'task'; client: number; slot: number; wish: TaskWish } & ToolCall)
  | {
      do: 'askTask';
      client: number;
      slot: number;
      what: 'get' | 'result' | 'cancel';
      which: number;
    }
  /** A client of HTTP+SSE calls a tool. */
  | ({ do: 'legacyCall'; client: number; slot: number } & ToolCall)
  /** A client of HTTP+SSE does something else, or an application does something in its session. */
  | { do: 'legacy'; what: LegacyStep; client: number; slot: number; which: number; ms: number }
  | { do: 'crash'; slot: number; downMs: number }
  | { do: 'pause'; slot: number; ms: number; timersFirst: boolean; dropsClients: boolean }
  | { do: 'close'; slot: number; drainMs: number; downMs: number }
  | { do: 'cutLink'; slot: number; downMs: number }
  | { do: 'stallLink'; slot: number; ms: number }
  | { do: 'loseSubscription'; slot: number; ms: number }
  | { do: 'deafen'; slot: number }
  | { do: 'stepClock'; slot: number; ms: number }
  /** No node reaches the backplane for a while. */
  | { do: 'outage'; ms: number; apartMs: number }
  /** The backplane refuses steps that write, and carries out steps that only read. */
  | { do: 'refuseWrites'; ms: number }
  /** A replica of the Redis master takes over, which has not received the last steps. */
  | { do: 'failover'; lostMs: number; awayMs: number; share: number; salt: number; clockMs: number }
);

/**
 * The faults and other actions that can be left out of a plan. In addition to the actions these are `clocks` (the clocks of
 * nodes are wrong from the start), `limits` (low limits), `retention` (logs are trimmed while clients use them), `expiry`
 * (sessions expire while clients use them), `bigMessages` (servers send big messages), and `audit` (nodes keep an audit trail).
 */
export type Fault =
  Action['do'] | 'clocks' | 'limits' | 'retention' | 'expiry' | 'bigMessages' | 'audit';

/** Faults that are left out unless the command line turns them on, each with the reason. */
export const OFF = new Map<Fault, string>([]);

export interface Plan {
  setting: Setting;
  actions: Action[];
}

/** The latest time of an action. */
export const HORIZON_MS = 12_000;

/**
 * Decides all actions of a run before the run begins. So actions can be left out, to find those that matter. `given` are
 * settings that are not left to chance.
 */
export function planOf(random: Random, given: Partial<Setting> = {}): Plan {
  const setting = { ...settingOf(random), ...given };
  const count = random.int(20, 70);
  const weights = weightsOf(random, setting.trouble ? { ...QUIET, ...TROUBLE } : QUIET);
  const steps = weightsOf(random, STEPS);
  const actions = Array.from({ length: count }, () => actionOf(random, setting, weights, steps));
  if (random.chance(0.3)) {
    // With `notify`, a node may store a message although it has lately seen no log id of any session. After a failover to a
    // clock that is behind, a client's cursor may then name another message (see docs/guarantees.md). The checks do not
    // allow for that.
    const goesBack = actions.some((action) => action.do === 'failover' && action.clockMs < 0);
    const more = ofApplication(random, setting);
    actions.push(...more.filter((action) => !goesBack || action.do !== 'toolsChanged'));
  }
  if (random.chance(0.2)) setting.factoryMs = random.pick([0, 20, 400]);
  if (setting.trouble && random.chance(0.2)) setting.failFactory = random.next() * 0.3;
  // Random numbers for new kinds of actions are drawn last. So each seed keeps its meaning.
  if (random.chance(0.25) && !OFF.has('reuse')) actions.push(...reusesOf(random, setting, steps));
  const callBy = (by: Random): ToolCall => callOf(by, steps);
  const isOff = (fault: Fault): boolean => OFF.has(fault);
  const draft = { setting, actions, horizonMs: HORIZON_MS, callOf: callBy, isOff };
  actions.push(...specialsOf(random.fork(), draft));
  return { setting, actions: actions.sort((one, other) => one.at - other.at) };
}

/** The actions of applications outside of calls. Two nodes often change the state of a session at the same time. */
function ofApplication(random: Random, setting: Setting): Action[] {
  return Array.from({ length: random.int(1, 10) }, (): Action[] => {
    const at = random.int(300, HORIZON_MS);
    const anySlot = (): number => random.int(0, setting.nodes - 1);
    const client = random.int(0, setting.clients - 1);
    if (random.chance(0.4)) return [{ at, do: 'toolsChanged', slot: anySlot() }];
    return [0, random.int(0, 20)].map((ms) => ({
      ...{ at: at + ms, do: 'count', client, slot: anySlot() },
    }));
  }).flat();
}

/** Calls whose request ids were used before. */
function reusesOf(random: Random, setting: Setting, steps: Weights<ToolStep['do']>): Action[] {
  return Array.from({ length: random.int(3, 12) }, (): Action => {
    const at = random.int(600, HORIZON_MS);
    const client = random.int(0, setting.clients - 1);
    const slot = random.int(0, setting.nodes - 1);
    const call = callOf(random, steps);
    const running = random.chance(0.3);
    return { ...{ at, do: 'reuse', client, slot }, which: random.int(0, 9), running, ...call };
  });
}

function callOf(random: Random, steps: Weights<ToolStep['do']>): ToolCall {
  return { tool: random.chance(0.4) ? 'again' : 'run', steps: stepsOf(random, steps) };
}

function settingOf(random: Random): Setting {
  const trouble = random.chance(0.85);
  const some = (most: number): number => (trouble && random.chance(0.6) ? random.next() * most : 0);
  const httpMs = random.pick([2, 20, 80]);
  const backplaneMs = random.pick([1, 10, 60]);
  const busMs = random.pick([1, 10, 100]);
  const nodes = random.int(2, 4);
  const skewed = random.chance(0.3) && !OFF.has('clocks');
  return {
    nodes,
    clocksMs: Array.from({ length: nodes }, () => (skewed ? random.pick(CLOCKS_MS) : 0)),
    clients: random.int(1, 3),
    ...{ legacyClients: 0, tasks: false },
    responseMode: random.chance(0.15) ? 'json' : 'sse',
    standaloneStream: random.chance(0.2) ? 'reject' : 'takeover',
    // Add further options of a whole run here and in `node.ts`.
    recovery: random.chance(0.4) ? 'rerun-idempotent' : 'error',
    affinity: random.chance(0.3) ? 'owner' : 'any',
    versions: random.chance(0.75) ? ['2025-11-25'] : ['2025-06-18', '2025-11-25'],
    leaseMs: random.pick([2000, 3000]),
    commandTimeoutMs: random.pick([500, 1500]),
    replicaIdleMs: random.pick([400, 300_000, 300_000]),
    maxReplicas: random.pick([1, 10_000, 10_000]),
    maxBufferedBytes: random.pick([100, 2000, 1_000_000]),
    maxStreamAgeMs: random.pick([0, 0, 2500]),
    keepAliveMs: random.pick([0, 15_000]),
    retention: { maxEvents: 10_000, maxAgeMs: 3_600_000, maxBytes: 64 << 20 },
    sessionTtlMs: 3_600_000,
    ...{ factoryMs: 0, failFactory: 0 },
    kernelBytes: random.pick([200, 100_000]),
    ...{ httpMs, backplaneMs, busMs },
    loseReply: some(0.04),
    loseCall: some(0.03),
    refuse: some(0.03),
    reorder: random.chance(0.5) ? random.next() * 0.5 : 0,
    duplicate: random.chance(0.3) ? random.next() * 0.3 : 0,
    returnMs: random.pick([40, 300, 1500]),
    trouble,
    isQuick: !trouble && busMs < 100 && backplaneMs < 60,
    limits: {},
    readOnly: false,
    audit: undefined,
  };
}

const MINUTE_MS = 60_000;
const CLOCKS_MS = [0, 700, -700, 5000, -5000, 20 * MINUTE_MS, -20 * MINUTE_MS, 180 * MINUTE_MS];

type Weights<T extends string> = Partial<Record<T, number>>;

const QUIET: Weights<Action['do']> = {
  call: 14,
  listen: 6,
  breakOff: 7,
  stall: 2,
  cancel: 3,
  setLevel: 2,
  delete: 0.4,
  roots: 1,
  intrude: 1,
  push: 3,
};

const TROUBLE: Weights<Action['do']> = {
  crash: 1.2,
  pause: 1.5,
  close: 1,
  cutLink: 1.5,
  stallLink: 1.5,
  loseSubscription: 1.5,
  deafen: 0.7,
  stepClock: 0.5,
  outage: 0.3,
  refuseWrites: 0.4,
  failover: 0.7,
};

const STEPS: Weights<ToolStep['do']> = {
  wait: 6,
  progress: 4,
  log: 3,
  announce: 3,
  ask: 1.5,
  hangUp: 0.5,
  hangUpStandalone: 0.3,
};

/** Changes the weights for each run. An action that is rare in one run is common in another, so that rare actions meet. */
function weightsOf<T extends string>(random: Random, usual: Weights<T>): Weights<T> {
  const weights: Weights<T> = {};
  for (const [name, weight] of Object.entries(usual) as [T, number][]) {
    const times = random.pick([0, 0.3, 1, 1, 1, 3]);
    weights[name] = OFF.has(name as Action['do']) ? 0 : weight * times;
  }
  return weights;
}

function actionOf(
  random: Random,
  setting: Setting,
  weights: Weights<Action['do']>,
  steps: Weights<ToolStep['do']>,
): Action {
  const at = random.int(300, HORIZON_MS);
  const client = random.int(0, setting.clients - 1);
  const slot = random.int(0, setting.nodes - 1);
  const kind = random.weighted({ ...weights, call: Math.max(weights.call ?? 0, 3) });
  const which = random.int(0, 9);
  switch (kind) {
    case 'call': {
      const several = random.chance(0.15) ? 2 : 1;
      const calls = Array.from({ length: several }, () => callOf(random, steps));
      return { at, do: kind, client, slot, calls };
    }
    case 'listen':
      return { at, do: kind, client, slot, withCursor: random.chance(0.5) };
    case 'breakOff':
      // Sometimes the node does not notice this for long, because a proxy hides it.
      return { at, do: kind, client, which, noticedMs: random.pick([1, 20, 20, 5000]) };
    case 'stall':
      return { at, do: kind, client, which, ms: random.int(50, 3000) };
    case 'cancel':
      return { at, do: kind, client, slot, which };
    case 'intrude':
      return { at, do: kind, client, slot, how: random.pick(['principal', 'session']) };
    case 'delete':
    case 'setLevel':
    case 'push':
    case 'request':
      return { at, do: kind, client, slot };
    case 'subscribe':
      return { at, do: kind, client, slot, uri: 'r', on: true };
    case 'resourceUpdated':
      return { at, do: kind, slot, uri: 'r' };
    case 'roots':
      return { at, do: kind, client };
    case 'begin':
      return { at, do: kind, client, slot, leavesAfterMs: undefined };
    case 'reuse':
      return {
        ...{ at, do: kind, client, slot, which },
        running: false,
        ...callOf(random, steps),
      };
    case 'count':
      return { at, do: kind, client, slot };
    case 'legacyCall':
      return { ...{ at, do: kind, client, slot }, ...callOf(random, steps) };
    case 'task':
      return {
        ...{ at, do: kind, client, slot, wish: { ttl: 60_000, pollInterval: 1000 } },
        ...callOf(random, steps),
      };
    case 'askTask':
      return { at, do: kind, client, slot, what: 'result', which };
    case 'legacy':
      return { at, do: kind, what: 'push', client, slot, which, ms: 0 };
    case 'toolsChanged':
      return { at, do: kind, slot };
    case 'crash':
      return { at, do: kind, slot, downMs: random.int(50, 6000) };
    case 'pause':
      return {
        ...{
          at,
          do: kind,
          slot,
          timersFirst: random.chance(0.5),
          dropsClients: random.chance(0.6),
        },
        ms: random.chance(0.5) ? random.int(20, 800) : setting.leaseMs + random.int(100, 3000),
      };
    case 'close':
      return {
        at,
        do: kind,
        slot,
        drainMs: random.pick([0, 500, 4000]),
        downMs: random.int(50, 3000),
      };
    case 'cutLink':
      return { at, do: kind, slot, downMs: random.pick([10, 300, 3000]) };
    case 'stallLink':
      return { at, do: kind, slot, ms: random.pick([100, 700, 2500]) };
    case 'loseSubscription':
      return { at, do: kind, slot, ms: random.int(10, 2000) };
    case 'deafen':
      return { at, do: kind, slot };
    case 'stepClock':
      return { at, do: kind, slot, ms: random.pick(CLOCKS_MS) };
    case 'outage':
      return { ...{ at, do: kind }, ms: longOrShort(random, setting), apartMs: 300 };
    case 'refuseWrites':
      return { at, do: kind, ms: longOrShort(random, setting) };
    case 'failover':
      return {
        ...{ at: Math.min(at, HORIZON_MS - 3000), do: kind },
        lostMs: random.pick([5, 50, 500, 2000]),
        awayMs: random.pick([20, 500, 500, setting.leaseMs + 500]),
        share: random.pick([1, 1, 0.5]),
        salt: random.int(0, 1e6),
        clockMs: random.pick([0, 0, 0, 30_000, -30_000]),
      };
  }
}

/** Returns a time that is shorter than a lease, or much longer. */
function longOrShort(random: Random, { leaseMs }: Setting): number {
  return random.chance(0.4)
    ? random.int(50, leaseMs - 500)
    : leaseMs + random.int(500, 2 * leaseMs);
}

function stepsOf(random: Random, weights: Weights<ToolStep['do']>): ToolStep[] {
  const count = random.int(0, 6);
  // A call asks one question at most, because each question may take all the time that a server waits.
  let asks = 0;
  return Array.from({ length: count }, (): ToolStep => {
    const kind = random.weighted({ ...weights, wait: Math.max(weights.wait ?? 0, 2) });
    if (kind === 'ask') asks += 1;
    if (kind === 'wait' || kind === 'fill' || (kind === 'ask' && asks > 1)) {
      return { do: 'wait', ms: random.pick([0, 5, 50, 300, 1500, 3000, 8000]) };
    }
    const isSaid = kind === 'progress' || kind === 'log' || kind === 'announce';
    return isSaid ? { do: kind, bytes: 0 } : { do: kind };
  });
}
