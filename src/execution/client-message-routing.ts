/** What the messages of a client are, and where each of them belongs. */
import type { OperationResult, ReceiveOperation, Revision, Route } from '../backplane/backplane.js';
import type { JsonRpcMessage } from '../protocol/jsonrpc.js';
import { isNotification, isResponse } from '../protocol/jsonrpc.js';
import { nodeOf } from '../replica/requests/outgoing-requests.js';

/** One message from the client that opens no stream, as an operation of the backplane; `text`: the message as JSON. */
export function receive(
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

/** Whether this node is, or is among, those that a message is for. */
export function isHere(result: OperationResult | undefined): boolean {
  return result?.status === 'received' && result.here;
}

/** For whoever asked the client something, and for no one else. */
export function isAnswer(message: JsonRpcMessage): boolean {
  return (
    isResponse(message) || (isNotification(message) && message.method === 'notifications/progress')
  );
}
