/**
 * Marks requests to the client whose id is already unique in the cluster. The node that asks has given the id, and may be
 * another node than this one. A request is recognized by its object, because the SDK passes the same object to the
 * transport.
 */
const adopted = new WeakSet();

export function markAdopted(request: object): void {
  adopted.add(request);
}

export function isAdopted(request: object): boolean {
  return adopted.has(request);
}
