import type { SessionRecord } from '../backplane/backplane.js';
import type { Revision } from '../backplane/revision.js';
import { revisionBefore } from '../backplane/revision.js';
import type { Committed } from '../stream/commit-queue.js';

/** What a commit said of the session. */
export interface CommitOutcome {
  /** When it was asked for. */
  asked: number;
  record?: SessionRecord;
  revision: Revision;
  /** This commit brought `initialized`, which made the revision. */
  initialized: boolean;
}

/** What the replica has to know before it gets these: one that is to handle `initialized` must not have had it before. */
export function recordFor({ record, initialized }: CommitOutcome): SessionRecord | undefined {
  if (record === undefined || !initialized) return record;
  return { ...record, active: false, revision: revisionBefore(record.revision) };
}

export function commitOutcome({ reply, results }: Committed, asked: number): CommitOutcome {
  const { record, revision } = reply;
  const initialized = results.some((result) => result.status === 'received' && result.changed);
  return { asked, revision, initialized, ...(record !== undefined && { record }) };
}
