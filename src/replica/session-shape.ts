/** The messages that shape a session: what the record remembers of them, and how a replica is told of it. */
import type { Effect, SessionRecord } from '../backplane/backplane.js';
import type { JsonRpcError, JsonRpcRequest, JsonRpcResponse } from '../protocol/jsonrpc.js';
import { ErrorCode, errorResponse } from '../protocol/jsonrpc.js';
import type { Limits } from '../options/limits.js';
import { hearsOf } from './initialize/initialize-exchange.js';
import { isInitializeRequest } from './sdk.js';

/** What a replica has been told. */
export interface Shape {
  /** The params of `initialize`, as JSON; `undefined`: not yet. */
  initialize: string | undefined;
  active: boolean;
  logLevel: string | undefined;
  subscriptions: ReadonlySet<string>;
}

export const UNSHAPED: Shape = {
  ...{ initialize: undefined, active: false, logLevel: undefined },
  subscriptions: new Set(),
};

export function shapeOf(record: SessionRecord): Shape {
  const { active, logLevel, subscriptions } = record;
  const initialize = isUninitialized(record) ? undefined : record.initialize;
  return { initialize, active, logLevel, subscriptions: new Set(subscriptions) };
}

/** Its client has a stream, and may not have said who it is yet (HTTP+SSE). */
export function isUninitialized({ protocolVersion }: SessionRecord): boolean {
  return protocolVersion === '';
}

/** What the session is to remember once this request was answered with a result. */
export function effectOf({ method, params }: JsonRpcRequest): Effect | undefined {
  if (method === 'logging/setLevel' && typeof params?.level === 'string') {
    return { type: 'level', level: params.level };
  }
  if (typeof params?.uri !== 'string') return undefined;
  if (method === 'resources/subscribe') return { type: 'subscribe', uri: params.uri };
  if (method === 'resources/unsubscribe') return { type: 'unsubscribe', uri: params.uri };
  return undefined;
}

/** The same, with the answer. An `initialize` may come as a request like any other (HTTP+SSE). */
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

/** Each is a field of the record, and is sent along with it. */
const LONGEST_URI = 8192;

/** Only by what it is called; most are not worth a look at the session's shape. */
export function mayBeRefused({ method }: JsonRpcRequest): boolean {
  return method === 'initialize' || method === 'resources/subscribe';
}

/**
 * Why a request is not let through to the server; `undefined`: it is. `running` are the requests to subscribe that have
 * not been answered, this one among them.
 */
export function refusalOf(
  request: JsonRpcRequest,
  { initialize, subscriptions }: Shape,
  running: JsonRpcRequest[],
  limits: Pick<Limits, 'subscriptionsPerSession' | 'subscriptionBytesPerSession'>,
): JsonRpcError | undefined {
  // One that makes no sense is for the server to refuse, as with a session of the SDK's transport.
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
  const asked = running
    .map(effectOf)
    .flatMap((each) => (each?.type === 'subscribe' ? each.uri : []));
  const uris = [...subscriptions, ...asked];
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
      return { ...shape, initialize: effect.params };
    case 'subscribe':
    case 'unsubscribe':
      return withSubscription(shape, effect.uri, effect.type === 'subscribe');
  }
}

/** A shape that differs from `shape` in what `effect` decides, so that going from it to `shape` carries the effect out. */
export function withoutEffect(shape: Shape, effect: Effect): Shape {
  switch (effect.type) {
    case 'level':
      return { ...shape, logLevel: undefined };
    case 'initialize':
      return shape; // once only
    case 'subscribe':
    case 'unsubscribe':
      return withSubscription(shape, effect.uri, effect.type === 'unsubscribe');
  }
}

/** `from`, changed so that it differs from `to` in what `effect` decides. */
export function unlike(from: Shape, to: Shape, effect: Effect): Shape {
  if (effect.type !== 'subscribe' && effect.type !== 'unsubscribe') {
    return withoutEffect(from, effect);
  }
  return withSubscription(from, effect.uri, !to.subscriptions.has(effect.uri));
}

/** The same shape with this subscription, or without it. */
function withSubscription(shape: Shape, uri: string, isSubscribed: boolean): Shape {
  const subscriptions = new Set(shape.subscriptions);
  if (isSubscribed) subscriptions.add(uri);
  else subscriptions.delete(uri);
  return { ...shape, subscriptions };
}

/** The requests that bring a replica from one shape to another; `notifications/initialized` is not among them. */
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
