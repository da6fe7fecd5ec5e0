/** The shape of a session: which requests change it, and which messages bring a replica from one shape to another. */
import type { Effect, SessionRecord } from '../backplane/backplane.js';
import type { JsonRpcError, JsonRpcRequest, JsonRpcResponse } from '../protocol/json/jsonrpc.js';
import { ErrorCode, errorResponse } from '../protocol/json/jsonrpc.js';
import type { Limits } from '../options/limits.js';
import { hearsOf } from './initialize/initialize-exchange.js';
import { isInitializeRequest } from '../protocol/json/initialize-request.js';

/** The shape of a session, as far as a replica has been told. */
export interface Shape {
  /** The params of `initialize`, as JSON, or `undefined` before `initialize`. */
  initialize: string | undefined;
  /** The negotiated protocol version, or `undefined` before `initialize`. */
  protocolVersion: string | undefined;
  active: boolean;
  logLevel: string | undefined;
  subscriptions: ReadonlySet<string>;
}

export const UNSHAPED: Shape = {
  ...{ initialize: undefined, protocolVersion: undefined, active: false, logLevel: undefined },
  subscriptions: new Set(),
};

export function shapeOf(record: SessionRecord): Shape {
  const { active, logLevel, subscriptions } = record;
  const { initialize, protocolVersion } = isUninitialized(record) ? UNSHAPED : record;
  const uris = new Set(subscriptions);
  return { initialize, protocolVersion, active, logLevel, subscriptions: uris };
}

/** Whether the session has not got `initialize` yet. With HTTP+SSE, a session begins with its stream. */
export function isUninitialized({ protocolVersion }: SessionRecord): boolean {
  return protocolVersion === '';
}

/** Returns the change of the shape that a request makes if it is answered with a result, or `undefined` if it makes none. */
export function effectOf({ method, params }: JsonRpcRequest): Effect | undefined {
  if (method === 'logging/setLevel' && typeof params?.level === 'string') {
    return { type: 'level', level: params.level };
  }
  if (typeof params?.uri !== 'string') return undefined;
  if (method === 'resources/subscribe') return { type: 'subscribe', uri: params.uri };
  if (method === 'resources/unsubscribe') return { type: 'unsubscribe', uri: params.uri };
  return undefined;
}

/** Returns the change of the shape that this answer makes. With HTTP+SSE, `initialize` comes as an ordinary request. */
export function effectOfAnswer(
  request: JsonRpcRequest,
  response: JsonRpcResponse | undefined,
): Effect | undefined {
  if (response === undefined || !('result' in response)) return undefined;
  if (request.method !== 'initialize') return effectOf(request);
  const { capabilities, protocolVersion } = response.result;
  return {
    type: 'initialize',
    hears: hearsOf(capabilities),
    params: JSON.stringify(request.params ?? {}),
    protocolVersion: String(protocolVersion),
  };
}

/** The longest URI of a subscription. Each URI is a field of the record, and is sent along with the record. */
const LONGEST_URI = 8192;

/** Whether `refusalOf` may refuse a request, by its method alone. Most requests need no look at the shape. */
export function mayBeRefused({ method }: JsonRpcRequest): boolean {
  return method === 'initialize' || method === 'resources/subscribe';
}

/**
 * Returns the error with which a request is refused, or `undefined` if the server gets it. `running` are the requests to
 * subscribe that were not answered yet, including this one.
 */
export function refusalOf(
  request: JsonRpcRequest,
  { initialize, subscriptions }: Shape,
  running: JsonRpcRequest[],
  limits: Pick<Limits, 'subscriptionsPerSession' | 'subscriptionBytesPerSession'>,
): JsonRpcError | undefined {
  // The server itself refuses a malformed `initialize`, as with the SDK's transport.
  if (initialize !== undefined && isInitializeRequest(request)) {
    const text = 'Invalid Request: Server already initialized';
    return errorResponse(request.id, ErrorCode.InvalidRequest, text);
  }
  const effect = effectOf(request);
  if (effect?.type !== 'subscribe' || subscriptions.has(effect.uri)) return undefined;
  if (effect.uri.length > LONGEST_URI) {
    const text = `Invalid Request: A resource URI must not exceed ${LONGEST_URI} characters`;
    return errorResponse(request.id, ErrorCode.InvalidRequest, text);
  }
  const most = limits.subscriptionsPerSession;
  if (subscriptions.size + running.length > most) {
    const text = `Too many subscriptions: A session may have ${most}`;
    return errorResponse(request.id, ErrorCode.ConnectionClosed, text);
  }
  const mostBytes = limits.subscriptionBytesPerSession;
  const requested = running
    .map(effectOf)
    .flatMap((each) => (each?.type === 'subscribe' ? each.uri : []));
  const uris = [...subscriptions, ...requested];
  if (uris.reduce((sum, uri) => sum + Buffer.byteLength(uri), 0) > mostBytes) {
    const text = `Too many subscriptions: Their URIs may have ${mostBytes} bytes in all`;
    return errorResponse(request.id, ErrorCode.ConnectionClosed, text);
  }
  return undefined;
}

export function withEffect(shape: Shape, effect: Effect): Shape {
  switch (effect.type) {
    case 'level':
      return { ...shape, logLevel: effect.level };
    case 'initialize':
      return { ...shape, initialize: effect.params, protocolVersion: effect.protocolVersion };
    case 'subscribe':
    case 'unsubscribe':
      return withSubscription(shape, effect.uri, effect.type === 'subscribe');
  }
}

/** Returns `shape` without the effect, so that a replay from the result to `shape` carries the effect out. */
export function withoutEffect(shape: Shape, effect: Effect): Shape {
  switch (effect.type) {
    case 'level':
      return { ...shape, logLevel: undefined };
    case 'initialize':
      return shape; // `initialize` happens once, and is not replayed to a server that has it
    case 'subscribe':
    case 'unsubscribe':
      return withSubscription(shape, effect.uri, effect.type === 'unsubscribe');
  }
}

/** Returns `from`, changed so that it differs from `to` in the part that `effect` sets. A replay then sets that part. */
export function unlike(from: Shape, to: Shape, effect: Effect): Shape {
  if (effect.type !== 'subscribe' && effect.type !== 'unsubscribe') {
    return withoutEffect(from, effect);
  }
  return withSubscription(from, effect.uri, !to.subscriptions.has(effect.uri));
}

/** Returns the same shape with this subscription, or without it. */
function withSubscription(shape: Shape, uri: string, isSubscribed: boolean): Shape {
  const subscriptions = new Set(shape.subscriptions);
  if (isSubscribed) subscriptions.add(uri);
  else subscriptions.delete(uri);
  return { ...shape, subscriptions };
}

/** Returns the requests that bring a replica from one shape to another. The handshake is not among them. */
export function requestsBetween(from: Shape, to: Shape): { method: string; params: object }[] {
  const requests: { method: string; params: object }[] = [];
  if (to.logLevel !== undefined && to.logLevel !== from.logLevel) {
    requests.push({ method: 'logging/setLevel', params: { level: to.logLevel } });
  }
  for (const uri of to.subscriptions) {
    if (!from.subscriptions.has(uri)) {
      requests.push({ method: 'resources/subscribe', params: { uri } });
    }
  }
  for (const uri of from.subscriptions) {
    if (!to.subscriptions.has(uri)) {
      requests.push({ method: 'resources/unsubscribe', params: { uri } });
    }
  }
  return requests;
}
