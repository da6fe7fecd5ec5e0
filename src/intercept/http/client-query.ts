/** Merges the query of a client's request into the URL of the operator. */

/**
 * Returns the names under which a server framework may read a parameter. Some read `tenant[]`, `[tenant]`, `TENANT`,
 * `tenant.id` or ` tenant` as `tenant` or a part of it.
 */
function basesOf(name: string): string[] {
  const segments = name
    .toLowerCase()
    .split(/[[\]]/)
    .map((segment) => segment.replace(/\p{Cc}/gu, '').trim());
  const base = segments.find((segment) => segment !== '') ?? '';
  return [base.replace(/[. ]/g, '_'), base.split('.', 1)[0] ?? ''];
}

/**
 * Returns the query of the operator (in the option `upstream`), followed by the client's other parameters. A client must not
 * repeat a parameter of the operator, because servers differ in which of the two values they take. Both queries begin with
 * `?`, or are empty.
 */
export function mergedQuery(operators: string, clients: string): string {
  if (clients.length < 2) return operators;
  if (operators.length < 2) return clients;
  const set = new Set([...new URLSearchParams(operators).keys()].flatMap(basesOf));
  // Write the parameters anew, so that the server splits them as they were split here.
  const kept = [...new URLSearchParams(clients)].filter(
    ([name]) => !basesOf(name).some((base) => set.has(base)),
  );
  if (kept.length === 0) return operators;
  return `${operators}&${new URLSearchParams(kept).toString()}`;
}
