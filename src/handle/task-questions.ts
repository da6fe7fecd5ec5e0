import type { NodeInboxes } from '../backplane/backplane.js';
import type { JsonRpcRequest } from '../protocol/json/jsonrpc.js';
import type { Questions } from '../sdk-stores/questions.js';
import { markAdopted } from '../replica/requests/adopted-requests.js';
import { nodeOf } from '../replica/requests/outgoing-requests.js';
import type { SessionService } from '../execution/session-service.js';

/**
 * Handles requests to the client that this node's servers have put into the queues of tasks. The node on which the client asks
 * for the result of the task sends them.
 */
export function questionsOf(
  sessions: Pick<SessionService, 'find'>,
  backplane: NodeInboxes,
): Questions {
  return {
    adopt: (sessionId, request) =>
      sessions.find(sessionId)?.transport?.adopt(request as JsonRpcRequest),
    sending: markAdopted,
    retract(sessionId, request) {
      const own = sessions.find(sessionId)?.transport?.retract(request as JsonRpcRequest);
      const asker = nodeOf(request.id);
      if (own !== undefined || asker === undefined) return own;
      const error = { code: -32603, message: 'Task cancelled or completed' };
      const answer = { jsonrpc: '2.0', id: request.id, error };
      // This error stands in for the client's answer. If the message is lost, the request times out at the asking node.
      backplane
        .send(asker, { type: 'deliver', sessionId, message: JSON.stringify(answer) })
        .catch(() => undefined);
      return undefined;
    },
  };
}
