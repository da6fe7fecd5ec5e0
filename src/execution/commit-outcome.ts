import type { SessionRecord } from '../backplane/backplane.js';
import type { Revision } from '../backplane/revision.js';
import { revisionBefore } from '../backplane/revision.js';
import type { Committed } from '../stream/commit-queue.js';

/** What the reply to a commit says about the session. */
export interface CommitOutcome {
  /** When this node sent the commit, by its own clock. */
  askedAt: number;
  record?: SessionRecord;
  revision: Revision;
  /** True if this commit stored `notifications/initialized`, and so made the revision. */
  initialized: boolean;
}

/**
 * Returns the record that the replica needs before it gets the messages of the commit. A replica that is to handle
 * `initialized` needs the record as it was before that message.
 */
export function recordFor({ record, initialized }: CommitOutcome): SessionRecord | undefined {
  if (record === undefined || !initialized) return record;
  return { ...record, active: false, revision: revisionBefore(record.revision) };
}

export function commitOutcome({ reply, results }: Committed, askedAt: number): CommitOutcome {
  const { record, revision } = reply;
  const initialized = results.some((result) => result.status === 'received' && result.changed);
  return { askedAt, revision, initialized, ...(record !== undefined && { record }) };
}
