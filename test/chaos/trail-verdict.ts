import type { AuditRecord, Trail } from '../../src/audit/index.js';
import { verifyTrail } from '../../src/audit/index.js';
import type { Call, Ledger } from './ledger.js';
import type { Recorded } from './records.js';

/** A client of a run: its session, and what it did and saw. */
export interface AuditedClient {
  sessionId: string;
  ledger: Ledger;
}

/** What is wrong with an audit trail, compared with the ledgers. */
export interface TrailViolations {
  /** What was acknowledged to a client or to a sender, and is not in the trail. */
  missing: string[];
  /** Entries of a log with more than one record. */
  twice: string[];
  /** What `verifyTrail` finds. */
  unverified: string[];
}

export interface TrailVerdict {
  violations: TrailViolations;
  records: number;
  /**
   * How many calls got 503 and are in the trail. Redis had stored them, and its reply was lost for too long. They did not run,
   * which the other verdict says.
   */
  refused: number;
}

export function isTrailViolated({ violations }: TrailVerdict): boolean {
  return Object.values(violations).some((lines: string[]) => lines.length > 0);
}

/** The records of one session. */
interface SessionTrail {
  /** How many records each entry of the log has. */
  entries: Map<string, number>;
  /** The calls by their keys: the id of the request, and how many requests have the key. */
  calls: Map<string, { requestId: string; times: number }>;
  /** How many records end a request, by its id. */
  ends: Map<string, number>;
  /** How many records each notification has: `<n>` from outside, `<key> <n>` of a call. */
  notifications: Map<string, number>;
}

/** The ends of a call after which its request and an end of the request have to be in the trail. */
const ENDED = new Set<Call['end']>(['result', 'error', 'node_lost', 'node_closed', 'cancelled']);

/** Compares a trail with what the clients did and saw. */
export async function judgeTrail(
  trail: Trail,
  clients: readonly AuditedClient[],
  recorded: Recorded,
): Promise<TrailVerdict> {
  const sessions = new Map<string, SessionTrail>();
  let records = 0;
  for await (const record of trail.records()) {
    records += 1;
    note(sessionOf(sessions, record.session), record);
  }
  const unverified: string[] = [];
  await verifyTrail(trail, { onProblem: (problem) => unverified.push(JSON.stringify(problem)) });
  const violations: TrailViolations = { missing: [], twice: [], unverified };
  let refused = 0;
  for (const { sessionId, ledger } of clients) {
    const session = sessionOf(sessions, sessionId);
    compare(session, ledger, recorded, violations);
    refused += ledger.calls.filter(
      ({ key, end }) => end === 'refused' && session.calls.has(key),
    ).length;
  }
  return { violations, records, refused };
}

function sessionOf(sessions: Map<string, SessionTrail>, id: string): SessionTrail {
  let session = sessions.get(id);
  if (session === undefined) {
    session = {
      entries: new Map(),
      calls: new Map(),
      ends: new Map(),
      notifications: new Map(),
    };
    sessions.set(id, session);
  }
  return session;
}

function note(session: SessionTrail, record: AuditRecord): void {
  const { chain, logId, type, method, requestId, outcome, message } = record;
  add(session.entries, `${chain} ${logId} ${type}`);
  const params = message !== undefined && 'params' in message ? message.params : undefined;
  if (type === 'message.received' && method === 'tools/call' && outcome === undefined) {
    const { key } = params?.['arguments'] as { key: string };
    const times = (session.calls.get(key)?.times ?? 0) + 1;
    session.calls.set(key, { requestId: JSON.stringify(requestId), times });
  }
  if (outcome !== undefined && record.direction !== 'in') {
    add(session.ends, JSON.stringify(requestId));
  }
  if (type === 'message.sent' && method === 'notifications/message') {
    const { key, n } = params?.['data'] as { key?: string; n: number };
    add(session.notifications, key === undefined ? `${n}` : `${key} ${n}`);
  }
}

function add(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}

function compare(
  session: SessionTrail,
  { client, calls, sent }: Ledger,
  { accepted }: Recorded,
  { missing, twice }: TrailViolations,
): void {
  for (const [entry, times] of session.entries) {
    if (times > 1) twice.push(`${client}: ${times} records of ${entry}`);
  }
  for (const { key, end, tool } of calls) {
    const call = session.calls.get(key);
    if (!ENDED.has(end)) continue;
    if (call === undefined) missing.push(`${key} ${tool}: its request (${end})`);
    else if (!session.ends.has(call.requestId)) missing.push(`${key} ${tool}: its end (${end})`);
    if (call !== undefined && call.times > 1) twice.push(`${key} ${tool}: ${call.times} requests`);
  }
  for (const { n, outcome } of sent) {
    if (outcome === 'accepted' && !session.notifications.has(`${n}`)) {
      missing.push(`${client}: notification ${n}`);
    }
  }
  for (const name of accepted) {
    if (name.startsWith(`${client}:`) && !session.notifications.has(name)) {
      missing.push(`notification ${name}`);
    }
  }
}
