/** Parses messages of a server behind this library, and checks them before other code works on them. */
import { exceededBy } from '../protocol/json/json-shape.js';
import type { JsonRpcMessage } from '../protocol/json/jsonrpc.js';
import { isObject } from '../protocol/json/jsonrpc.js';
import { BATCH_SIZE, LONGEST_ID, MESSAGE_SHAPE, oversized } from './bounds.js';
import { Failure } from './failure.js';

/**
 * Parses JSON. Returns `undefined` if the text is not JSON. Throws a {@link Failure} for JSON that would take too much time
 * or stack.
 */
export function parseJson(text: string): unknown {
  const exceeded = exceededBy(text, MESSAGE_SHAPE);
  if (exceeded === 'depth') {
    throw oversized(`a message that is nested deeper than ${MESSAGE_SHAPE.depth}`);
  }
  if (exceeded === 'values') {
    throw oversized(`a message of more than ${MESSAGE_SHAPE.values} values`);
  }
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

/**
 * Returns the message of one event. Returns `undefined` if the event is not JSON-RPC, because a stream may carry other events
 * too. Throws a {@link Failure} for JSON-RPC that has members of wrong types or exceeds a bound.
 */
export function messageOf(text: string): JsonRpcMessage | undefined {
  const value = parseJson(text);
  return isJsonRpc(value) ? checked(value) : undefined;
}

/** Returns the messages of a JSON body: one, or a batch. Throws a {@link Failure} for everything else. */
export function messagesOf(text: string): JsonRpcMessage[] {
  const value = parseJson(text);
  const messages = Array.isArray(value) ? (value as unknown[]) : [value];
  if (messages.length > BATCH_SIZE) throw oversized(`a batch of more than ${BATCH_SIZE} messages`);
  return messages.map((message) => {
    if (!isJsonRpc(message)) throw new Failure('server_invalid', 'no JSON-RPC');
    return checked(message);
  });
}

type Fields = Record<string, unknown>;

function isJsonRpc(value: unknown): value is Fields {
  if (!isObject(value) || value.jsonrpc !== '2.0') return false;
  return 'method' in value || 'result' in value || 'error' in value;
}

/**
 * Checks the types of the members that this library itself works with. All other members concern only the server and its
 * client.
 */
function checked(message: Fields): JsonRpcMessage {
  const wrong = 'method' in message ? wrongInCall(message) : wrongInAnswer(message);
  if (wrong !== undefined) {
    throw new Failure('server_invalid', `a message whose ${wrong} is not what it has to be`);
  }
  return message as unknown as JsonRpcMessage;
}

/** Returns the name of a wrong member of a request or notification. */
function wrongInCall(message: Fields): string | undefined {
  const { method, params } = message;
  if (typeof method !== 'string' || method.length > LONGEST_ID) return 'method';
  if ('id' in message && !isId(message.id)) return 'id';
  // Some servers write a missing member as null.
  if (params === undefined || params === null) {
    delete message.params;
    return undefined;
  }
  if (!isObject(params)) return 'params';
  const { _meta: meta, requestId } = params;
  if (method === 'notifications/cancelled' && requestId !== undefined && !isId(requestId)) {
    return 'requestId';
  }
  if (meta === undefined || meta === null) return undefined;
  if (!isObject(meta)) return '_meta';
  const token = meta.progressToken;
  return token === undefined || isId(token) ? undefined : 'progressToken';
}

/**
 * Returns the name of a wrong member of an answer. An answer without an id counts as the answer to the request on whose
 * response it came.
 */
function wrongInAnswer(message: Fields): string | undefined {
  const { id, result, error } = message;
  if (id !== undefined && id !== null && !isId(id)) return 'id';
  if ('result' in message) return isObject(result) ? undefined : 'result';
  const isError =
    isObject(error) && Number.isFinite(error.code) && typeof error.message === 'string';
  return isError ? undefined : 'error';
}

/** True for an id that JSON can express, so that it comes back to the server unchanged. */
function isId(value: unknown): boolean {
  return typeof value === 'string' ? value.length <= LONGEST_ID : Number.isFinite(value);
}
