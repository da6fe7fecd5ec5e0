import { setTimeout as sleep } from 'node:timers/promises';

/** How many resources of each kind keep the event loop alive, e.g. `{ TCPSocketWrap: 2, Timeout: 1 }`. */
export type Resources = Record<string, number>;

export function activeResources(): Resources {
  const counts: Resources = {};
  for (const kind of process.getActiveResourcesInfo()) counts[kind] = (counts[kind] ?? 0) + 1;
  return counts;
}

/**
 * Returns the resources that exist now and did not exist `before`. Returns `{}` if nothing was left behind.
 *
 * Sockets take some turns of the event loop to close, so it looks again until nothing is left or `withinMs` are over. It
 * does not see resources that are `unref()`ed.
 */
export async function leftBehind(
  before: Resources,
  { withinMs = 10_000 }: { withinMs?: number } = {},
): Promise<Resources> {
  const deadline = Date.now() + withinMs;
  for (;;) {
    const left = difference(before, activeResources());
    if (Object.keys(left).length === 0 || Date.now() > deadline) return left;
    // The timer is unref'd, because it would otherwise be found itself.
    await sleep(10, undefined, { ref: false });
  }
}

function difference(before: Resources, now: Resources): Resources {
  const more = Object.entries(now).map(([kind, n]) => [kind, n - (before[kind] ?? 0)] as const);
  return Object.fromEntries(more.filter(([, n]) => n > 0));
}
