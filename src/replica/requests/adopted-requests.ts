/**
 * Requests to the client that already have an id of the cluster. The node that asks has given it to them, and this node may
 * be another one. They are recognized by their object, because the SDK passes the same object to the transport.
 */
const adopted = new WeakSet();

export function markAdopted(request: object): void {
  adopted.add(request);
}

export function isAdopted(request: object): boolean {
  return adopted.has(request);
}
