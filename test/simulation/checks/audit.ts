/** Checks of the audit trail. They hold once faults are over and the archiver has had time for what waited. */
import type { AuditRecord } from '../../../src/audit/record.js';
import type { AuditTrail, Logged } from '../audit-trail.js';
import type { World } from '../world.js';

/** How long an entry may wait for the archiver when nothing fails. */
const WAIT_MS = 15_000;

/** The time until which everything has to be in the trail. A clock that goes back prolongs the lease of an archiver that has died. */
function settledAt({ ledger }: World): number {
  return ledger.now - WAIT_MS - ledger.clockBackMs;
}

/**
 * Each entry of a log is in the trail, unless a failover lost it or the trail has a gap. No entry has two records with
 * different hashes, unless a failover lost a step of an archiver, or lost the entry and put another one in its place.
 */
export function* recordedOnce(world: World): Iterable<string> {
  const { trail, backplane } = world;
  if (trail === undefined) return;
  const records = new Map<string, AuditRecord[]>();
  for (const { record } of trail.kept) {
    if (!isOfEntry(record)) continue;
    const key = `${record.session} ${record.logId}`;
    records.set(key, [...(records.get(key) ?? []), record]);
  }
  const lost = new Set(
    trail.logged.filter((each) => each.lost).map((each) => `${each.sessionId} ${each.logId}`),
  );
  const missing = new Map<string, Logged[]>();
  for (const entry of trail.logged) {
    const { sessionId, logId, at } = entry;
    if (entry.lost || at > settledAt(world)) continue;
    if (records.has(`${sessionId} ${logId}`)) continue;
    missing.set(sessionId, [...(missing.get(sessionId) ?? []), entry]);
  }
  for (const [sessionId, entries] of missing) {
    const [{ logId, what }] = entries as [Logged];
    if (entries.length <= gapsOf(trail, sessionId)) continue;
    yield `${entries.length} entries of ${sessionId} have no record, the first is ${logId} (${what})`;
  }
  for (const [key, [one, other]] of records) {
    if (other === undefined || backplane.outbox.hasLostSteps || lost.has(key)) continue;
    yield `${key} has the records ${one?.seq} and ${other.seq}, with different hashes`;
  }
}

/** The records of a chain follow each other, in the order of their delivery. Only a failover makes a branch. */
export function* recordsFollow({ trail, ledger }: World): Iterable<string> {
  if (trail === undefined) return;
  const chains = new Map<string, AuditRecord[]>();
  for (const { record } of trail.kept) {
    const key = `${record.session} ${record.chain}`;
    const chain = chains.get(key) ?? [];
    const { seq, previous } = record;
    const before = ledger.losses.length > 0 ? chain : chain.slice(-1);
    const follows =
      seq === 1
        ? previous === '' && (chain.length === 0 || ledger.losses.length > 0)
        : before.some((each) => each.hash === previous && each.seq === seq - 1);
    if (!follows) {
      yield `${key}: the record ${seq} (${record.type} ${record.logId}) does not follow ${chain.at(-1)?.seq ?? 'nothing'}`;
    }
    chain.push(record);
    chains.set(key, chain);
  }
}

/** The records of a session end if the session has ended, and only then. */
export function* recordsEnd(world: World): Iterable<string> {
  const { trail, ledger } = world;
  // After a failover, a session that has ended may exist again.
  if (trail === undefined || ledger.losses.length > 0) return;
  const last = new Map<string, AuditRecord>();
  for (const { record } of trail.kept) last.set(record.session, record);
  for (const [sessionId, record] of last) {
    const removedAt = ledger.removedAt.get(sessionId);
    const hasEnded = record.type === 'session.ended';
    if (hasEnded && removedAt === undefined) yield `${sessionId} ends, and the session exists`;
    if (!hasEnded && (removedAt ?? Infinity) < settledAt(world)) {
      yield `${sessionId} ends with ${record.type} at ${record.logId}, and the session has ended`;
    }
  }
}

/** How many entries of a session the trail says are missing. */
function gapsOf({ kept }: AuditTrail, sessionId: string): number {
  return kept
    .filter(({ record }) => record.session === sessionId)
    .reduce((sum, { record }) => sum + (record.missing?.entries ?? 0), 0);
}

function isOfEntry({ type }: AuditRecord): boolean {
  return type !== 'session.ended' && type !== 'gap';
}
