/**
 * Ids of a server's own requests and progress tokens. A server that had to begin a new private session counts from the
 * start again; so that an answer to the old one's question is not taken for one to the new one's, each id carries the
 * number of its session on its way through this library.
 */
import type { JsonRpcMessage, RequestId } from '../protocol/jsonrpc.js';
import { isNotification, isRequest } from '../protocol/jsonrpc.js';

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

/** The client's answer, or progress, as the server knows it. `undefined`: it is not for this session. */
export function unmarked(message: JsonRpcMessage, generation: number): JsonRpcMessage | undefined {
  const unmark = (id: unknown): RequestId | undefined => {
    const prefix = `${generation}:`;
    if (typeof id !== 'string' || !id.startsWith(prefix)) return undefined;
    try {
      return JSON.parse(id.slice(prefix.length)) as RequestId;
    } catch {
      return undefined; // The client has made it up.
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
