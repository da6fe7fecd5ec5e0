import type { CommandConnection } from './redis-connection.js';

/** A message that a node sends to itself begins with it. */
export const PROBE = '1 probe ';

/** A node that holds a lease. */
export interface LeasedNode {
  connection: CommandConnection;
  key: string;
  channel: string;
  leaseMs: number;
  /** What the lease says of the node. */
  about: string;
  hasLeft: () => boolean;
  /** Called for each server through which the probe was sent. A cluster has several. */
  onProbeSent: () => void;
}

/** Renews the lease, and sends a probe to the node itself. Resolves with true if the lease was missing. */
export async function renewLease(probe: string, node: LeasedNode): Promise<boolean> {
  const { connection, key, leaseMs, about, hasLeft } = node;
  let [anew, tried] = [false, false];
  await connection.run(async (client) => {
    // Use PEXPIRE, because a full Redis refuses SET, and no node must lose its lease for that.
    const [kept] = await Promise.all([client.pexpire(key, leaseMs), sendProbes(probe, node)]);
    // After `leave` the deleted lease must not come back.
    if (kept === 1 || hasLeft()) {
      // An earlier try whose reply was lost may have written the lease anew.
      anew = tried;
      return;
    }
    tried = true;
    // If renewals overlap, as they do at the start, only one writes the lease anew. The others must not report a lapse.
    anew = (await client.set(key, about, 'PX', leaseMs, 'NX')) === 'OK';
  });
  return anew;
}

/**
 * Sends the probe through each master of a cluster, because each has a link of its own to the server where this node is
 * subscribed.
 */
async function sendProbes(
  probe: string,
  { connection, channel, onProbeSent }: LeasedNode,
): Promise<void> {
  const sent = connection.masters().map(async (master) => {
    await master.publish(channel, `${PROBE}${probe}`);
    onProbeSent();
  });
  await Promise.any(sent).catch((error: unknown) => {
    throw error instanceof AggregateError ? (error.errors[0] ?? error) : error;
  });
}
