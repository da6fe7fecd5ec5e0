/** What Express has put on a request; of one that comes straight from Node's server, what that knows of it. */
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { Request } from 'express';
import { pathAndQuery } from '../protocol/request-target.js';

/** As {@link Anynode.listener} gets it: all of this may be missing. */
type Incoming = IncomingMessage &
  Partial<Pick<Request, 'app' | 'baseUrl' | 'originalUrl' | 'path' | 'protocol' | 'res'>>;

/**
 * The application that has it in hand. The prototype says nothing: a server that makes requests for an application
 * (`serverOptionsFor`) need not give it this one.
 */
function appOf({ app, res }: Incoming): Incoming['app'] {
  return res === undefined ? undefined : app;
}

/** Where this middleware is mounted; `''` at the root, and without Express. */
export function baseOf(req: Incoming): string {
  return req.baseUrl ?? '';
}

/** Whether the application was told that a proxy is in front, whose headers tell where a request comes from. */
export function isProxied(req: Incoming): boolean {
  const trust: unknown = appOf(req)?.get('trust proxy');
  return trust !== undefined && trust !== false && trust !== 0;
}

/** The host that the client named. HTTP/2 has `:authority` in the place of the header (RFC 9113, section 8.3.1). */
export function hostOf({ headers }: Pick<Incoming, 'headers'>): string | undefined {
  const authority = headers[':authority'];
  return headers.host ?? (typeof authority === 'string' ? authority : undefined);
}

/** Whether this request came in on a loopback address. */
export function isLoopback(req: Incoming): boolean {
  const { localAddress } = (req.socket as Partial<Socket> | undefined) ?? {};
  return localAddress !== undefined && /^(::ffff:)?127\.|^::1$/.test(localAddress);
}

/** Neither the target of a request nor its Host have to be what a URL is made of: then it is the path, and no more. */
export function urlOf(req: Incoming): URL {
  const host = hostOf(req) ?? 'localhost';
  const base = `${protocolOf(req)}://${host}`;
  // Of one host, whatever the target says of others: that of the header, which alone is looked at for who is allowed.
  const path = pathAndQuery(req.originalUrl ?? req.url ?? '/');
  const target = path.startsWith('//') ? `/.${path}` : path;
  if (URL.canParse(target, base)) return new URL(target, base);
  const url = new URL('http://localhost');
  url.pathname = pathOf(req);
  return url;
}

function protocolOf(req: Incoming): string {
  if (appOf(req) !== undefined && req.protocol !== undefined) return req.protocol;
  return isEncrypted(req.socket as Partial<TLSSocket> | undefined) ? 'https' : 'http';
}

/** A serverless adapter may have no socket; the one of HTTP/2 throws once its connection is closed. */
function isEncrypted(socket: Partial<TLSSocket> | undefined): boolean {
  try {
    return socket?.encrypted === true;
  } catch {
    return false;
  }
}

function pathOf(req: Incoming): string {
  if (req.path === undefined) return req.url?.split('?', 1)[0] ?? '/';
  // Where it is mounted at the path itself, Express calls what is left of it `/`.
  return req.path === '/' ? baseOf(req) : `${baseOf(req)}${req.path}`;
}
