/** Reads what Express puts on a request. For a request straight from Node's server, uses what Node knows of it. */
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { BlockList, isIP } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { Request } from 'express';
import { pathAndQuery } from '../protocol/request-target.js';
import { FetchedRequest } from './fetch/fetched-request.js';

/** A request as {@link Anynode.listener} gets it, where all of these fields may be missing. */
type Incoming = IncomingMessage &
  Partial<Pick<Request, 'app' | 'baseUrl' | 'originalUrl' | 'path' | 'protocol' | 'res'>> &
  Partial<Proxied>;

/** A request of which the command knows that a proxy is in front. No application can say so, because there is none. */
export interface Proxied {
  isProxied: true;
}

/**
 * Returns the Express application that handles the request, if there is one. The member `app` alone does not show that. With
 * `serverOptionsFor` it comes from the prototype, even if the server does not hand this request to the application. But only
 * an application sets `res`.
 */
function appOf({ app, res }: Incoming): Incoming['app'] {
  return res === undefined ? undefined : app;
}

/** The path where this middleware is mounted. It is `''` at the root and without Express. */
export function baseOf(req: Incoming): string {
  return req.baseUrl ?? '';
}

/** True if the application or the command was told that a proxy is in front, which checks the Host header. */
export function isProxied(req: Incoming): boolean {
  if (req.isProxied === true) return true;
  const trust: unknown = appOf(req)?.get('trust proxy');
  return trust !== undefined && trust !== false && trust !== 0;
}

/**
 * Returns a header as one text. Node joins the lines of a header. But a serverless adapter or middleware in front may have set
 * a list of lines, or `undefined` to hide the header.
 */
export function headerOf({ headers }: Pick<Incoming, 'headers'>, name: string): string | undefined {
  const value = headers[name];
  return Array.isArray(value) ? value.join(', ') : value;
}

/** The host that the client named. HTTP/2 has `:authority` instead of the header (RFC 9113, section 8.3.1). */
export function hostOf(req: Pick<Incoming, 'headers'>): string | undefined {
  return headerOf(req, 'host') ?? headerOf(req, ':authority');
}

/**
 * True if this request came in on a loopback address. Such a connection has loopback addresses at both ends. `undefined` means
 * that it may have done so, because the caller of `mcp.fetch` has not said where the request comes from.
 */
export function isLoopback(req: Incoming): boolean | undefined {
  if (req instanceof FetchedRequest) return isLoopbackAddress(req.clientAddress ?? '');
  const { localAddress } = (req.socket as Partial<Socket> | undefined) ?? {};
  return localAddress !== undefined && /^(::ffff:)?127\.|^::1$/.test(localAddress);
}

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4');
LOOPBACK.addAddress('::1', 'ipv6');

/** Returns `undefined` for a text that is not an address. */
function isLoopbackAddress(text: string): boolean | undefined {
  const version = isIP(text);
  return version === 0 ? undefined : LOOPBACK.check(text, version === 6 ? 'ipv6' : 'ipv4');
}

/**
 * Returns the URL of a request. If its target and its Host header do not form a URL, the result is `http://localhost` with
 * the path.
 */
export function urlOf(req: Incoming): URL {
  const host = hostOf(req) ?? 'localhost';
  const base = `${protocolOf(req)}://${host}`;
  // Use the host of the header, even if the target names another one: only the header is checked against the allowed hosts.
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

/**
 * True if the socket is encrypted. A serverless adapter may have no socket, and an HTTP/2 socket throws after its connection
 * is closed.
 */
function isEncrypted(socket: Partial<TLSSocket> | undefined): boolean {
  try {
    return socket?.encrypted === true;
  } catch {
    return false;
  }
}

function pathOf(req: Incoming): string {
  if (req.path === undefined) return req.url?.split('?', 1)[0] ?? '/';
  // If the request is for exactly the path where this middleware is mounted, Express sets `path` to `/`.
  return req.path === '/' ? baseOf(req) : `${baseOf(req)}${req.path}`;
}
