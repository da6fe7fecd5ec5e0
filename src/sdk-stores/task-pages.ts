import type { ListedTask, TaskRecord, Tasks } from '../backplane/sdk-store-access.js';

const PAGE = 10;

/**
 * Returns a page of the tasks that a session may ask for, in the order of their creation: its own tasks and those of no
 * session. Without a session these are only the latter. The two lists may be on two servers of a cluster, so a cursor is a
 * place in each. So no task is skipped if two tasks have the same order, or if the clocks of the servers differ.
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
