import type { ListedTask, TaskRecord, Tasks } from '../backplane/sdk-store-access.js';

const PAGE = 10;

/**
 * A page of the tasks that a session may ask for: its own and those of none, in the order of their creation; without a
 * session, the latter. They are two lists, whose keys a cluster may have on two servers: a cursor is a place in each, so
 * that nothing is passed over where two tasks have the same order, or the clocks of the two differ.
 */
export async function pageOf(
  tasks: Tasks,
  cursor: string | undefined,
  sessionId: string | undefined,
): Promise<{ records: TaskRecord[]; nextCursor: string | undefined }> {
  const from = placeOf(cursor);
  const next = PAGE + 1;
  const [own, shared] = await Promise.all([
    sessionId === undefined ? [] : tasks.list(sessionId, from.own, next),
    tasks.list(undefined, from.shared, next),
  ]);
  const all = [...own, ...shared].sort((a, b) => a.order - b.order);
  const page = all.slice(0, PAGE);
  const ends = (list: ListedTask[], before: number): number =>
    list.findLast((task) => page.includes(task))?.order ?? before;
  return {
    records: page.map(({ record }) => record),
    nextCursor:
      all.length > PAGE ? `${ends(own, from.own)}.${ends(shared, from.shared)}` : undefined,
  };
}

function placeOf(cursor: string | undefined): { own: number; shared: number } {
  if (cursor === undefined) return { own: 0, shared: 0 };
  const [, own, shared] = /^(\d{1,16})\.(\d{1,16})$/.exec(cursor) ?? [];
  if (own === undefined || shared === undefined) throw new Error(`Invalid cursor: ${cursor}`);
  return { own: Number(own), shared: Number(shared) };
}
