/**
 * Requests to the client that have the cluster's id already: they were given it on the node that asks, and are sent on
 * another one (or there, later). Known by the object, since the SDK passes on what it was given.
 */
const adopted = new WeakSet();

export function markAdopted(request: object): void {
  adopted.add(request);
}

export function isAdopted(request: object): boolean {
  return adopted.has(request);
}
