/**
 * Marks ids of the server's own requests and progress tokens with the number of their private session. A server counts ids
 * from the start again in a new private session. Without the mark, an answer to a question of the old session could be taken
 * for one of the new session.
 */
import type { JsonRpcMessage, RequestId } from '../protocol/json/jsonrpc.js';
import { isNotification, isRequest } from '../protocol/json/jsonrpc.js';

export function marked(message: JsonRpcMessage, generation: number): JsonRpcMessage {
  const mark = (id: RequestId): string => `${generation}:${JSON.stringify(id)}`;
  if (isRequest(message)) {
    const token = message.params?._meta?.progressToken;
    if (token === undefined) return { ...message, id: mark(message.id) };
    const _meta = { ...message.params?._meta, progressToken: mark(token) };
    return { ...message, id: mark(message.id), params: { ...message.params, _meta } };
  }
  if (isNotification(message) && message.method === 'notifications/cancelled') {
    const requestId = message.params?.requestId as RequestId | undefined;
    if (requestId === undefined) return message;
    return { ...message, params: { ...message.params, requestId: mark(requestId) } };
  }
  return message;
}

/**
 * Returns the client's answer or progress with the ids that the server knows. Returns `undefined` if the message is for
 * another private session.
 */
export function unmarked(message: JsonRpcMessage, generation: number): JsonRpcMessage | undefined {
  const unmark = (id: unknown): RequestId | undefined => {
    const prefix = `${generation}:`;
    if (typeof id !== 'string' || !id.startsWith(prefix)) return undefined;
    try {
      return JSON.parse(id.slice(prefix.length)) as RequestId;
    } catch {
      return undefined; // the client has invented this id
    }
  };
  if (!('method' in message)) {
    const id = unmark(message.id);
    return id === undefined ? undefined : { ...message, id };
  }
  if (message.method === 'notifications/progress') {
    const progressToken = unmark(message.params?.progressToken);
    if (progressToken === undefined) return undefined;
    return { ...message, params: { ...message.params, progressToken } };
  }
  return message;
}
