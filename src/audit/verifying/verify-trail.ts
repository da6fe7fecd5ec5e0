/** Finds out whether records of an audit trail are missing or were changed. */
import type { PayloadCodec } from '../../backplane/encoded/payloads.js';
import { digestOf, hashOf, sealedContext, textOf } from '../chain.js';
import { ChainCheck } from './chain-check.js';
import { ChainChecks } from './chain-checks.js';
import { OrdinalRanges } from './ordinal-ranges.js';
import type { AuditRecord } from '../record.js';
import type { Trail } from '../reading/trail.js';

/**
 * What is wrong with a trail:
 *
 * - `missing`: records are not there.
 * - `changed`: a record is not as it was made.
 * - `after_end`: a record follows the end of its session.
 * - `unreadable`: something in the trail is no record.
 */
export interface TrailProblem {
  kind: 'missing' | 'changed' | 'after_end' | 'unreadable';
  /** A sentence that says what is wrong, and where. */
  text: string;
  session?: string;
  chain?: string;
  /** The number of the record in its chain. With `missing`: the first that is missing. */
  seq?: number;
}

export interface VerifyOptions {
  /** Decodes messages that were encoded with `audit.encrypt`. Without it, their digests are not checked. */
  codec?: PayloadCodec | undefined;
  /** Called with each problem, as soon as it is found. */
  onProblem?: ((problem: TrailProblem) => void) | undefined;
}

export interface Verification {
  /** How many records there are. */
  records: number;
  /** How many chains there are, which is how many sessions. */
  chains: number;
  /** How many chains have no end: their sessions go on, or their last records are missing. */
  open: number;
  /** How many records have no message because it was erased. */
  erased: number;
  /** How many messages could not be checked, because they are encoded and no codec decodes them. */
  unchecked: number;
  /**
   * How often a record follows one that another record follows, too. That happens when a failover of Redis has lost the last
   * checkpoint of an archiver. It is no fault.
   */
  branches: number;
  /** How many problems there are. 0: nothing is missing or changed. */
  problems: number;
  /** The records that the gaps of the trail stand for: entries that were left out while the outbox was full (`drop`). */
  dropped: number;
  /**
   * How many records came before the first one that is there. It is no problem, because days that are not needed any more can
   * be removed. If none were, these records are missing.
   */
  earlier: number;
}

/**
 * Reads a whole trail and verifies it. Memory grows with the number of sessions without an end, and of holes.
 *
 * It cannot find that the last records of a session without an end are missing, nor that all records after a certain time are.
 * That all records before a certain time are missing is counted as `earlier`.
 * And who can write the trail can make all hashes anew. So keep copies of a trail, or of its last hashes, elsewhere.
 *
 * Rejects if the trail cannot be read.
 */
export async function verifyTrail(
  trail: Trail,
  { codec, onProblem }: VerifyOptions = {},
): Promise<Verification> {
  const result: Verification = {
    ...{ records: 0, chains: 0, open: 0, erased: 0, unchecked: 0, branches: 0 },
    ...{ problems: 0, dropped: 0, earlier: 0 },
  };
  const report = (problem: TrailProblem): void => {
    result.problems += 1;
    onProblem?.(problem);
  };
  const checks = new ChainChecks();
  const outboxes = new Map<string, OrdinalRanges>();
  const unreadable = (where: string): void =>
    report({ kind: 'unreadable', text: `${where} is no record` });
  for await (const record of trail.records({}, unreadable)) {
    result.records += 1;
    result.dropped += record.missing?.entries ?? 0;
    checkContent(record, codec, result, report);
    noteOrdinal(outboxes, record);
    const key = JSON.stringify([record.session, record.chain]);
    let check = checks.find(key);
    if (check === undefined) {
      check = new ChainCheck();
      result.chains += 1;
    }
    const { problem, isBranch } = check.add(record);
    if (problem !== undefined) report(about(record, problem.kind, problem.text, problem.seq));
    if (isBranch) result.branches += 1;
    checks.keep(key, check);
  }
  result.open = checks.openCount;
  for (const [outbox, ordinals] of outboxes) {
    result.earlier += Math.max(0, (ordinals.lowest() ?? 1) - 1);
    for (const { first, last } of ordinals.holes()) {
      const [which, verb] =
        first === last ? [`Record ${first}`, 'is'] : [`Records ${first} to ${last}`, 'are'];
      report({ kind: 'missing', text: `${which} of the outbox ${outbox} ${verb} missing` });
    }
  }
  return result;
}

function noteOrdinal(outboxes: Map<string, OrdinalRanges>, { outbox, ordinal }: AuditRecord): void {
  const ordinals = outboxes.get(outbox) ?? new OrdinalRanges();
  outboxes.set(outbox, ordinals);
  ordinals.add(ordinal);
}

/** Checks the hash of a record, and the digest of its message. */
function checkContent(
  record: AuditRecord,
  codec: PayloadCodec | undefined,
  result: Verification,
  report: (problem: TrailProblem) => void,
): void {
  const { digest, salt, message, sealed, erased } = record;
  const changed = (what: string): void => report(about(record, 'changed', what));
  if (hashOf(record) !== record.hash) {
    changed('has another content than when it was made');
    return;
  }
  const hasPayload = message !== undefined || sealed !== undefined || salt !== undefined;
  if (digest === undefined) {
    if (hasPayload) changed('has a message that it did not have');
    else if (erased !== undefined) changed('had no message that can be erased');
    return;
  }
  if (erased !== undefined) {
    if (hasPayload) changed('has a message, and says that it was erased');
    else result.erased += 1;
    return;
  }
  if (message !== undefined && sealed !== undefined) {
    changed('has two messages');
    return;
  }
  const text = message === undefined ? sealedText(record, codec) : textOf(message);
  if (text === 'unchecked') result.unchecked += 1;
  else if (salt === undefined || text === undefined || digestOf(salt, text) !== digest) {
    const what =
      text === undefined ? 'has lost its message' : 'has another message than when it was made';
    changed(what);
  }
}

/** Returns the text that the digest of an encoded message covers. */
function sealedText(
  { session, sealed, unreadable }: AuditRecord,
  codec: PayloadCodec | undefined,
): string | undefined {
  // The archiver could not decode such a message either, and its digest covers what was stored.
  if (sealed === undefined || unreadable === true) return sealed;
  try {
    return codec === undefined ? 'unchecked' : codec.decode(sealed, sealedContext(session));
  } catch {
    return 'unchecked';
  }
}

function about(
  { session, chain, seq }: AuditRecord,
  kind: TrailProblem['kind'],
  what: string,
  at = seq,
): TrailProblem {
  return { kind, text: `Record ${at} of session ${session} ${what}`, session, chain, seq: at };
}
