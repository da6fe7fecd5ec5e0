import type { Lease } from '../backplane/observation.js';
import type { NodeInfo } from './observer.js';

/** Returns the nodes in the order of their ids, so that a display keeps its order. */
export function nodesOf(leases: Lease[]): NodeInfo[] {
  return leases
    .map(({ nodeId, leftMs, about }) => ({
      id: nodeId,
      leaseLeftMs: leftMs,
      startedAt: about.startedAt,
      host: about.host,
      pid: about.pid,
      version: about.version,
    }))
    .sort((a, b) => (a.id < b.id ? -1 : 1));
}
