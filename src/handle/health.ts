import type { NodeLifetime } from '../execution/node-lifetime.js';
import type { SessionService } from '../execution/session-service.js';
import type { NodeContext } from '../stream/node-context.js';
import type { Health } from './node-handle.js';

/** Returns the state of a node. It uses only what the node knows, and sends no request. */
export function healthOf(
  { nodeId, backplane, followers }: NodeContext,
  lifetime: NodeLifetime,
  sessions: SessionService,
  servers: { trouble(): string | undefined },
): Health {
  const reason = backplane.trouble() ?? servers.trouble();
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
