/**
 * The revision of a session's record, as text: `<count>.<mark>.<mark before>`. A mark names the commit that made a revision
 * (`<node>:<number of the commit>`), so no two revisions are the same. That holds even if a failover loses some revisions and
 * later ones get the same counts. The first revision of every session is `1`.
 */
export type Revision = string;

export const FIRST_REVISION: Revision = '1';

/** No record has this revision. A replica with this revision has to catch up with the record. */
export const UNKNOWN_REVISION: Revision = '0';

/** True if a value has the form of a revision. A revision must be one word, because stored and sent formats separate words. */
export function isRevision(value: unknown): value is Revision {
  return typeof value === 'string' && /^\d{1,15}(\.[!-~]{1,600})?$/.test(value);
}

/** Returns the revision that a commit makes from `before`. It is the same text as in `commit/step.lua`. */
export function nextRevision(before: Revision, nodeId: string, number: number): Revision {
  const [count, mark] = partsOf(before);
  return `${String(count + 1)}.${nodeId}:${String(number)}.${mark}`;
}

/** True if `after` is the next revision after `before`: the commit that made `after` changed the record of `before`. */
export function follows(before: Revision | undefined, after: Revision): boolean {
  if (before === undefined) return false;
  const [count, mark] = partsOf(before);
  const [nextCount, , markBefore] = partsOf(after);
  return nextCount === count + 1 && markBefore === mark;
}

/** Returns a revision that {@link follows} accepts as the one before this revision. */
export function revisionBefore(revision: Revision): Revision {
  const [count, , markBefore] = partsOf(revision);
  return `${String(count - 1)}.${markBefore}`;
}

/** True if `a` has a lower count of changes than `b`. After a failover has lost changes, this does not prove that `a` is older. */
export function isLower(a: Revision, b: Revision): boolean {
  return partsOf(a)[0] < partsOf(b)[0];
}

function partsOf(revision: Revision): [count: number, mark: string, markBefore: string] {
  const [count, mark = '', markBefore = ''] = revision.split('.');
  return [Number(count), mark, markBefore];
}
