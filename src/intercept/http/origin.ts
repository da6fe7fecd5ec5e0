/** The HTTP request that brought a message of the client, as far as the server may see it. */
import { IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import { pathAndQuery } from '../../protocol/request-target.js';
import type { AuthInfo } from '../../options/public-types.js';
import type { Cause, Mounted, RequestInfo } from '../../replica/replica.js';

/**
 * The parts of the client's HTTP request that are passed on to the server. The last origin is kept in memory for messages
 * that come without one: answers and cancellations that reached another node.
 */
export interface Origin {
  headers: Readonly<Record<string, string>>;
  /** The path and query as the client sent them. */
  originalUrl: string;
  base: string;
  parsed: Mounted['parsed'];
  authInfo: AuthInfo | undefined;
  /** What middleware in front has added to the request. Known only on the node that received it. */
  express: ExpressTraits | undefined;
}

export interface ExpressTraits {
  /** The application, with its prototypes for requests and responses. */
  app: { request: object; response: object };
  /** The properties that a request of Node does not have, such as `user`, `log` and `cookies`. */
  added: Record<string, unknown>;
  locals: object;
  /** Properties that depend on the client's connection, which is not the handler's connection. */
  seen: Record<string, unknown>;
}

/** The members of an Express request that are read. */
interface ExpressRequest {
  app: ExpressTraits['app'];
  originalUrl: string;
  url?: string;
  res?: { locals?: object };
  [name: string]: unknown;
}

/**
 * Returns the origin of a message, or `undefined` if no HTTP request came with it. `inside` means that the server is in this
 * process. Then the origin also has what middleware in front has added to the request.
 */
export function originOf(
  cause: Partial<Cause> | undefined,
  { inside }: { inside: boolean },
): Origin | undefined {
  const { requestInfo, authInfo, mounted } = cause ?? {};
  if (requestInfo === undefined) return undefined;
  const request = mounted?.req as Partial<ExpressRequest> | undefined;
  const target = request?.originalUrl ?? request?.url;
  return {
    headers: requestInfo.headers,
    originalUrl: target === undefined ? pathOf(requestInfo) : pathAndQuery(target),
    base: mounted?.base ?? '',
    parsed: mounted?.parsed,
    authInfo,
    express: inside && isOfExpress(request) ? traitsOf(request) : undefined,
  };
}

/**
 * True for a request that an Express application handles. Others come straight from Node's server, and may have the
 * prototype of an application that does not handle them.
 */
function isOfExpress(request: Partial<ExpressRequest> | undefined): request is ExpressRequest {
  return request?.app !== undefined && request.res !== undefined;
}

/** Returns the client's query, which begins with `?` or is empty. */
export function queryOf({ originalUrl }: Origin): string {
  const at = originalUrl.indexOf('?');
  return at === -1 ? '' : originalUrl.slice(at);
}

function pathOf({ url }: RequestInfo): string {
  return `${url.pathname}${url.search}`;
}

/** The properties that every request of Node has. */
const OF_NODE = new Set(Object.keys(new IncomingMessage(new Socket())));

/** Properties that Express sets while the request passes through the application. They are not passed on. */
const OF_EXPRESS = new Set([
  ...['app', 'res', 'next', 'route', 'baseUrl', 'originalUrl', 'params', 'query'],
  ...['body', '_body', '_parsedUrl', '_parsedOriginalUrl'],
]);

const SEEN = ['ip', 'ips', 'protocol', 'secure', 'hostname'];

function traitsOf(request: ExpressRequest): ExpressTraits {
  const added: Record<string, unknown> = {};
  for (const name of Object.keys(request)) {
    if (!OF_EXPRESS.has(name) && !OF_NODE.has(name)) added[name] = request[name];
  }
  // In Express 4 `host` is deprecated, and logs a warning.
  const names = 'lazyrouter' in request.app ? SEEN : [...SEEN, 'host'];
  const seen = Object.fromEntries(names.map((name) => [name, valueOf(request, name)]));
  seen.params = request.params;
  // In Express 4 `query` is a property of the request itself.
  if (Object.hasOwn(request, 'query')) seen.query = request.query;
  return { app: request.app, added, locals: request.res?.locals ?? {}, seen };
}

/** A malformed header may make a getter throw. */
function valueOf(request: ExpressRequest, name: string): unknown {
  try {
    return request[name];
  } catch {
    return undefined;
  }
}
