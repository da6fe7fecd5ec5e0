import type { NodeLifetime } from '../execution/node-lifetime.js';
import type { SessionService } from '../execution/session-service.js';
import type { NodeContext } from '../stream/node-context.js';
import type { Health } from './node-handle.js';

/** The state of a node, from what it knows: nothing is asked. */
export function healthOf(
  { nodeId, membership, followers }: NodeContext,
  lifetime: NodeLifetime,
  sessions: SessionService,
  servers: { trouble(): string | undefined },
): Health {
  const reason = membership.trouble() ?? servers.trouble();
  const status = reason === undefined ? 'ready' : 'down';
  return {
    status: lifetime.isClosing() ? 'draining' : status,
    nodeId,
    ...(reason !== undefined && { reason }),
    sessions: sessions.replicas,
    streams: followers.size + lifetime.exchanges.size,
    inFlight: lifetime.running.size,
  };
}
