/** The query of a client's request, on its way to the URL of the operator. */

/** Server frameworks read `tenant[]`, `[tenant]`, `TENANT`, `tenant.id` or ` tenant` as a part of `tenant`, or as the same. */
function basesOf(name: string): string[] {
  const segments = name
    .toLowerCase()
    .split(/[[\]]/)
    .map((segment) => segment.replace(/\p{Cc}/gu, '').trim());
  const base = segments.find((segment) => segment !== '') ?? '';
  return [base.replace(/[. ]/g, '_'), base.split('.', 1)[0] ?? ''];
}

/**
 * The query of the operator's URL, and behind it what the client's query has besides. A parameter that the operator has set
 * cannot be set again by a client: which of two a server takes is its own choice. Both begin with `?`, or are empty.
 */
export function mergedQuery(operators: string, clients: string): string {
  if (clients.length < 2) return operators;
  if (operators.length < 2) return clients;
  const set = new Set([...new URLSearchParams(operators).keys()].flatMap(basesOf));
  // Written anew, so that the server splits it where it was split here.
  const kept = [...new URLSearchParams(clients)].filter(
    ([name]) => !basesOf(name).some((base) => set.has(base)),
  );
  if (kept.length === 0) return operators;
  return `${operators}&${new URLSearchParams(kept).toString()}`;
}
