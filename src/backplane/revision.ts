/**
 * The revision of a session's record, as text: `<count>.<mark>.<mark before>`. A mark names the step that made the revision
 * (`<node>:<number of the commit>`), so no revision comes twice. That holds even if a failover has lost some, and others are
 * counted in their place. `1` is the first one of every session.
 */
export type Revision = string;

export const FIRST_REVISION: Revision = '1';

/** No record has this revision. A replica that is at it has to catch up with the record. */
export const UNKNOWN_REVISION: Revision = '0';

/** A revision is one word of the formats in which it is stored and sent. */
export function isRevision(value: unknown): value is Revision {
  return typeof value === 'string' && /^\d{1,15}(\.[!-~]{1,600})?$/.test(value);
}

/** The revision that this step makes of `before`. The same text as in `commit/step.lua`. */
export function nextRevision(before: Revision, nodeId: string, number: number): Revision {
  const [count, mark] = partsOf(before);
  return `${String(count + 1)}.${nodeId}:${String(number)}.${mark}`;
}

/** Whether the change that made `after` was made on `before`. */
export function follows(before: Revision | undefined, after: Revision): boolean {
  if (before === undefined) return false;
  const [count, mark] = partsOf(before);
  const [nextCount, , markBefore] = partsOf(after);
  return nextCount === count + 1 && markBefore === mark;
}

/** What {@link follows} takes for the revision on which this one was made. */
export function revisionBefore(revision: Revision): Revision {
  const [count, , markBefore] = partsOf(revision);
  return `${String(count - 1)}.${markBefore}`;
}

/** Whether fewer changes had been made when `a` was made. Says nothing certain where a failover has lost some of them. */
export function isLower(a: Revision, b: Revision): boolean {
  return partsOf(a)[0] < partsOf(b)[0];
}

function partsOf(revision: Revision): [count: number, mark: string, markBefore: string] {
  const [count, mark = '', markBefore = ''] = revision.split('.');
  return [Number(count), mark, markBefore];
}
