import type { Call, CallEnd, Ledger } from './ledger.js';
import type { Recorded } from './records.js';

/** The violations, with the lines of the ledger that show them. */
export interface Violations {
  /** Calls that ended with neither a result nor an error. */
  unanswered: string[];
  /** Notifications that were accepted and never shown, and calls with a gap in their progress. */
  lost: string[];
  /** Messages that were shown twice to a client that came back with its cursor. */
  duplicated: string[];
  /** Messages that were shown after a message which was sent later. */
  disordered: string[];
  /** Calls that ran more than once. */
  executedTwice: string[];
  /** Calls that were answered with 503 and ran nevertheless, and results of calls that never ran. */
  executedWrongly: string[];
  /** With owners: answers of a server object that was no longer the one of the session. */
  ofFormerOwners: string[];
  /** Responses that must not occur. */
  strange: string[];
}

export interface Spread {
  p50: number;
  p99: number;
  max: number;
}

export interface Verdict {
  violations: Violations;
  calls: number;
  ends: Map<CallEnd, number>;
  /** The texts of JSON-RPC errors other than those of lost nodes. */
  errors: string[];
  resumedCalls: number;
  resumedStreams: number;
  /** How many requests other than calls got 503. */
  refused: number;
  notifications: {
    sent: number;
    accepted: number;
    unknown: number;
    ofCalls: number;
    shown: number;
  };
  /** The durations of calls, in milliseconds. */
  callTimes: Spread;
  /** The calls that took longest, with what happened to them. */
  slowest: string[];
  /** The times between two notifications from outside at the client, in milliseconds. */
  gaps: Spread;
}

/** Returns all violations of a verdict. */
export function violated(verdict: Verdict): boolean {
  return Object.values(verdict.violations).some((lines: string[]) => lines.length > 0);
}

export function judge(
  ledgers: readonly Ledger[],
  recorded: Recorded,
  { owned = false } = {},
): Verdict {
  const calls = ledgers.flatMap((ledger) => ledger.calls);
  const sent = ledgers.flatMap((ledger) => ledger.sent);
  const ends = new Map<CallEnd, number>();
  for (const { end } of calls) if (end !== undefined) ends.set(end, (ends.get(end) ?? 0) + 1);
  const times = (key: string): number => recorded.executed.get(key) ?? 0;
  const line = (call: Call): string =>
    `${call.key} ${call.tool}, ran ${times(call.key)} times: ${call.story.join('; ')}`;
  const where = (which: (call: Call) => boolean): string[] => calls.filter(which).map(line);

  const violations: Violations = {
    unanswered: where(({ end }) => end === undefined || UNANSWERED.has(end)),
    lost: [...ledgers.flatMap((ledger) => lostOf(ledger, recorded)), ...where(hasGap)],
    duplicated: [
      ...ledgers.flatMap(duplicatesOf),
      ...calls.flatMap((call) => call.repeated.map((what) => `${line(call)}: twice: ${what}`)),
    ],
    disordered: ledgers.flatMap(disorderOf),
    executedTwice: where(({ key }) => times(key) > 1),
    executedWrongly: where(
      ({ key, end }) =>
        (end === 'refused' && times(key) > 0) || (end === 'result' && times(key) === 0),
    ),
    ofFormerOwners: owned ? ledgers.flatMap((ledger) => formerOwners(ledger, recorded)) : [],
    strange: [
      ...ledgers.flatMap(({ strange }) => strange),
      ...where(({ end }) => end === 'unexpected'),
    ],
  };
  return {
    violations,
    calls: calls.length,
    ends,
    errors: calls.flatMap(({ end, detail }) => (end === 'error' ? [detail ?? ''] : [])),
    resumedCalls: sum(calls.map(({ resumed }) => resumed)),
    resumedStreams: sum(ledgers.map(({ resumed }) => resumed)),
    refused: sum(ledgers.map(({ refused }) => refused)),
    notifications: {
      sent: sent.length,
      accepted: sent.filter(({ outcome }) => outcome === 'accepted').length,
      unknown: sent.filter(({ outcome }) => outcome === 'unknown').length,
      ofCalls: recorded.accepted.size,
      shown: sum(ledgers.map(({ arrivals }) => arrivals.length)),
    },
    callTimes: spread(calls.map(timeOf)),
    slowest: calls
      .sort((a, b) => timeOf(b) - timeOf(a))
      .slice(0, SLOWEST)
      .map((call) => `${timeOf(call)} ms: ${line(call)}`),
    gaps: spread(ledgers.flatMap(gapsOf)),
  };
}

const SLOWEST = 10;

function timeOf({ begun, ended = begun }: Call): number {
  return ended - begun;
}

const UNANSWERED = new Set<CallEnd>(['unanswered', 'session lost']);

/** Returns the notifications that were accepted and not shown. */
export function lostOf({ client, sent, arrivals }: Ledger, { accepted }: Recorded): string[] {
  const shown = new Set(arrivals.map(({ name }) => name));
  const outside = sent.filter(({ n, outcome }) => outcome === 'accepted' && !shown.has(`${n}`));
  const ofCalls = [...accepted].filter((name) => name.startsWith(`${client}:`) && !shown.has(name));
  return [
    ...outside.map(
      ({ n, at }) => `${client} never got ${n}, sent at ${new Date(at).toISOString()}`,
    ),
    ...ofCalls.map((name) => `${client} never got ${name}`),
  ];
}

/** Whether progress is missing. The call itself numbers its progress, so a gap shows however the call ended. */
function hasGap({ progress }: Call): boolean {
  return progress.some((value, at) => value !== at + 1);
}

function duplicatesOf({ client, arrivals, repeated }: Ledger): string[] {
  const seen = new Set<string>();
  const twice = arrivals.filter(({ name }) => seen.has(name) || !seen.add(name));
  return [
    ...twice.map(({ name }) => `${client} got ${name} twice`),
    ...repeated.map((name) => `${client} got the event of ${name} twice`),
  ];
}

/**
 * Returns the notifications that came in the wrong order. Each was sent after the one before was stored. Notifications of
 * which that is not known are left out.
 */
function disorderOf({ client, sent, arrivals }: Ledger): string[] {
  const unknown = new Set(sent.flatMap(({ n, outcome }) => (outcome === 'accepted' ? [] : [n])));
  const last = new Map<string, number>();
  return arrivals.flatMap(({ name }) => {
    const [key = '', ofCall] = name.split(' ');
    const [source, n] = ofCall === undefined ? ['', Number(key)] : [key, Number(ofCall)];
    if (source === '' && unknown.has(n)) return [];
    const before = last.get(source) ?? 0;
    last.set(source, Math.max(before, n));
    return n < before ? [`${client} got ${name} after ${source} ${before}`] : [];
  });
}

/**
 * Returns answers of former server objects. A client makes one call at a time. Once a server object has answered, no
 * earlier one may answer any more.
 */
function formerOwners({ calls }: Ledger, { replica }: Recorded): string[] {
  const former = new Set<string>();
  let owner: string | undefined;
  return calls.flatMap(({ key, end, story }) => {
    const by = replica.get(key);
    if (end !== 'result' || by === undefined || by === owner) return [];
    if (former.has(by)) return [`${key}: ${story.join('; ')}`];
    if (owner !== undefined) former.add(owner);
    owner = by;
    return [];
  });
}

function gapsOf({ arrivals }: Ledger): number[] {
  const times = arrivals.filter(({ name }) => !name.includes(' ')).map(({ at }) => at);
  return times.slice(1).map((at, index) => at - (times[index] ?? at));
}

function spread(values: number[]): Spread {
  const sorted = values.sort((a, b) => a - b);
  const at = (share: number): number => sorted[Math.floor((sorted.length - 1) * share)] ?? 0;
  return { p50: at(0.5), p99: at(0.99), max: at(1) };
}

function sum(values: number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
