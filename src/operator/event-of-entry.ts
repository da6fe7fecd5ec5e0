/** Turns entries of the log into events for operators. */
import type { LogEntry } from '../backplane/backplane.js';
import type { JsonRpcMessage, RequestId } from '../protocol/json/jsonrpc.js';
import { isObject, isRequest, isResponse } from '../protocol/json/jsonrpc.js';
import { givenName } from '../stream/shown-on.js';
import { NODE_ID_LENGTH } from '../protocol/node-id.js';
import { parseStored } from '../protocol/json/parse-stored.js';
import type { SessionEvent } from '../options/public-types.js';

export function eventOf(entry: LogEntry): SessionEvent {
  const { logId: id, at, stream, direction, note } = entry;
  if (note !== undefined) {
    const { kind: type, request, ...details } = note;
    const requestId = request === undefined ? undefined : idOf(parseStored(request));
    return {
      ...{ id, at, type, direction: undefined, stream, message: undefined, ...details },
      ...(requestId !== undefined && { requestId }),
    };
  }
  const message = messageOf(entry);
  const isEnd = direction === 'out' && entry.message === undefined && entry.unreadable !== true;
  const type = isEnd
    ? 'request.cancelled'
    : direction === 'in'
      ? 'message.received'
      : 'message.sent';
  const nodeId = nodeOf(entry);
  const shownBy = entry.holder === undefined ? nodeId : entry.holder;
  const method = methodOf(message);
  const requestId = message && idOf(requestOf(message));
  return {
    ...{ id, at, type, direction, stream, message },
    ...(nodeId !== undefined && { nodeId }),
    ...(direction === 'out' && shownBy !== undefined && { shownBy }),
    ...(method !== undefined && { method }),
    ...(requestId !== undefined && { requestId }),
    ...(entry.trace !== undefined && { trace: entry.trace }),
    ...(message === undefined && !isEnd && { unreadable: true }),
  };
}

/**
 * Returns the message of an entry, as it was stored. Its members may have any types. `undefined`: there is none, or this
 * reader cannot read it, because it is encoded or is not a message.
 */
function messageOf({ message }: LogEntry): JsonRpcMessage | undefined {
  const value = message === undefined ? undefined : parseStored(message);
  return isObject(value) ? (value as unknown as JsonRpcMessage) : undefined;
}

function methodOf(message: JsonRpcMessage | undefined): string | undefined {
  if (message === undefined || !('method' in message)) return undefined;
  const method: unknown = message.method;
  return typeof method === 'string' ? method : undefined;
}

function idOf(value: unknown): RequestId | undefined {
  return typeof value === 'string' || typeof value === 'number' ? value : undefined;
}

/**
 * Returns the node of an entry: the node that stored it, or the node that opened the stream, whose id begins the stream's name.
 */
function nodeOf({ by, stream, asker }: LogEntry): string | undefined {
  const named = by ?? asker;
  if (named !== undefined) return named;
  const name = givenName(stream ?? '');
  return name.length > NODE_ID_LENGTH ? name.slice(0, NODE_ID_LENGTH) : undefined;
}

function requestOf(message: JsonRpcMessage): unknown {
  if (isRequest(message) || isResponse(message)) return message.id;
  return message.method === 'notifications/cancelled' ? message.params?.requestId : undefined;
}
