/** What came along with a message of the client, as far as the server behind is to see it. */
import { IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import { pathAndQuery } from '../../protocol/request-target.js';
import type { AuthInfo } from '../../options/types.js';
import type { Cause, Mounted, RequestInfo } from '../../replica/replica.js';
import { MOUNTED } from '../../replica/replica.js';

/** Kept in memory for messages that come without one (answers and cancellations by way of another node). */
export interface Origin {
  headers: Readonly<Record<string, string>>;
  /** Path and query, as the client sent them. */
  originalUrl: string;
  base: string;
  parsed: Mounted['parsed'];
  authInfo: AuthInfo | undefined;
  /** What middleware in front has made of the request; only on the node that received it. */
  express: ExpressTraits | undefined;
}

export interface ExpressTraits {
  /** With its prototypes for requests and responses. */
  app: { request: object; response: object };
  /** What the request has that one of Node does not: `user`, `log`, `cookies`, … */
  added: Record<string, unknown>;
  locals: object;
  /** Depend on the client's connection, which is another one than the handler's. */
  seen: Record<string, unknown>;
}

/** The parts of Express's request that are read. */
interface ExpressRequest {
  app: ExpressTraits['app'];
  originalUrl: string;
  url?: string;
  res?: { locals?: object };
  [name: string]: unknown;
}

/** `undefined`: nothing came along. `inside`: the server is in this process, and sees what middleware has made. */
export function originOf(
  cause: Partial<Cause> | undefined,
  { inside }: { inside: boolean },
): Origin | undefined {
  const { requestInfo, authInfo } = cause ?? {};
  if (requestInfo === undefined) return undefined;
  const mounted = requestInfo[MOUNTED];
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

/** It may have come straight from Node's server, with or without the prototype of an application that did not get it. */
function isOfExpress(request: Partial<ExpressRequest> | undefined): request is ExpressRequest {
  return request?.app !== undefined && request.res !== undefined;
}

/** With what the client asked for, beginning with `?`; or nothing. */
export function queryOf({ originalUrl }: Origin): string {
  const at = originalUrl.indexOf('?');
  return at === -1 ? '' : originalUrl.slice(at);
}

function pathOf({ url }: RequestInfo): string {
  return `${url.pathname}${url.search}`;
}

/** What every request of Node has. */
const OF_NODE = new Set(Object.keys(new IncomingMessage(new Socket())));

/** Express's own, which belong to the way that a request takes through the application. */
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
  // In Express 4 `host` is an old name, which warns of itself.
  const names = 'lazyrouter' in request.app ? SEEN : [...SEEN, 'host'];
  const seen = Object.fromEntries(names.map((name) => [name, valueOf(request, name)]));
  seen.params = request.params;
  // In Express 4 it is none of a prototype's.
  if (Object.hasOwn(request, 'query')) seen.query = request.query;
  return { app: request.app, added, locals: request.res?.locals ?? {}, seen };
}

/** A header that makes no sense may make a getter throw. */
function valueOf(request: ExpressRequest, name: string): unknown {
  try {
    return request[name];
  } catch {
    return undefined;
  }
}
