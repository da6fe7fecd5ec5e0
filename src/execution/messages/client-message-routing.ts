/** Classifies messages of clients, and says which node each of them is for. */
import type {
  OperationResult,
  ReceiveOperation,
  Revision,
  Route,
} from '../../backplane/backplane.js';
import type { JsonRpcMessage } from '../../protocol/json/jsonrpc.js';
import { isNotification, isResponse } from '../../protocol/json/jsonrpc.js';
import { nodeOf } from '../../replica/requests/outgoing-requests.js';

/** Makes the operation that stores one message which opens no stream. `text` is the message as JSON. */
export function toReceiveOperation(
  message: JsonRpcMessage,
  text: string,
  principal: string,
  { revision, owned }: { revision: Revision | undefined; owned: boolean },
): ReceiveOperation {
  const route = routeOf(message, owned);
  return { type: 'receive', principal, message: text, route, revision };
}

function routeOf(message: JsonRpcMessage, owned: boolean): Route {
  if (isResponse(message)) return toNode(nodeOf(message.id));
  const usual = owned ? { to: 'owner' as const } : { to: 'here' as const };
  if (!isNotification(message)) return usual;
  switch (message.method) {
    case 'notifications/progress':
      return toNode(nodeOf(message.params?.progressToken));
    case 'notifications/cancelled':
      return {
        to: 'executor',
        request: JSON.stringify(message.params?.requestId ?? null),
      };
    case 'notifications/roots/list_changed':
      return { to: 'replicas' };
    case 'notifications/initialized':
      return { to: 'initialized', owned };
    default:
      return usual;
  }
}

function toNode(nodeId: string | undefined): Route {
  return nodeId === undefined ? { to: 'nobody' } : { to: 'node', nodeId };
}

/** True if the message is for this node, alone or among others. */
export function isHere(result: OperationResult | undefined): boolean {
  return result?.status === 'received' && result.here;
}

/** True if a message is for the part of a node that sent the client a request: an answer, or progress. */
export function isForAsker(message: JsonRpcMessage): boolean {
  return (
    isResponse(message) || (isNotification(message) && message.method === 'notifications/progress')
  );
}
