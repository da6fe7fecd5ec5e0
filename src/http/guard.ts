import type { Request } from 'express';
import type { Logger } from '../options/public-types.js';
import { ErrorCode } from '../protocol/json/jsonrpc.js';
import type { LogLimit } from '../protocol/log-limit.js';
import { headerOf, hostOf, isLoopback, isProxied } from './incoming-request.js';
import { RefusalError } from './response/refusals.js';

const LOCAL_NAMES = new Set(['localhost', '127.0.0.1', '[::1]']);

export interface GuardOptions {
  allowedHosts: string[] | undefined;
  allowedOrigins: string[] | undefined;
  logger: Pick<Logger, 'warn'>;
}

/**
 * Protects servers on a loopback address from DNS rebinding, where the DNS name of a web page points to that address. Refuses
 * with 403:
 *
 * - With `allowedHosts`: a Host header that is not in the list, with or without its port.
 * - Without `allowedHosts`: a Host header that names no loopback host, if the connection came in on a loopback address. The
 *   SDK's `createMcpExpressApp` does the same. This is not checked if Express was told that a proxy is in front (`trust
 *   proxy`). A request of `mcp.fetch` is checked like one on a loopback address, unless its caller has said that it comes from
 *   another address.
 * - With `allowedOrigins`: an Origin header that is not in the list. A request without the header is let in.
 */
export function guard(
  req: Request,
  { allowedHosts, allowedOrigins, logger }: GuardOptions,
  logLimit: LogLimit,
): void {
  const origin = headerOf(req, 'origin');
  const host = hostOf(req);
  if (allowedHosts !== undefined) {
    const name = hostname(host);
    const allowed = [host, name].some((text) => text !== undefined && allowedHosts.includes(text));
    if (!allowed) throw forbidden(`Invalid Host header: ${host ?? ''}`);
  } else if (!isLocalName(host) && isLoopback(req) !== false && !isProxied(req)) {
    if (isLoopback(req) === undefined) {
      logLimit.pass('host', (more) => logger.warn(`${UNKNOWN_PEER}${more}`));
    }
    if (host === undefined || host === '') throw forbidden('Missing Host header');
    const name = hostname(host);
    throw forbidden(name === undefined ? `Invalid Host header: ${host}` : `Invalid Host: ${name}`);
  }
  if (allowedOrigins !== undefined && origin !== undefined && !allowedOrigins.includes(origin)) {
    throw forbidden(`Invalid Origin header: ${origin}`);
  }
}

function forbidden(message: string): RefusalError {
  return new RefusalError({ status: 403, code: ErrorCode.ConnectionClosed, message });
}

const UNKNOWN_PEER =
  'mcp-anynode: requests of `mcp.fetch` are refused with 403, because their host is not localhost: ' +
  'list your hosts in the option `allowedHosts`, or give `clientAddress` with each request';

/**
 * The host names of recent Host headers. Clients repeat the same headers, and a `URL` costs more than the rest of this
 * check.
 */
const hostnames = new Map<string, string>();
const MOST_HOSTNAMES = 100;
const LONGEST_HOST = 300;

function hostname(host: string | undefined): string | undefined {
  if (host === undefined) return undefined;
  const known = hostnames.get(host);
  if (known !== undefined) return known;
  let name: string | undefined;
  try {
    name = new URL(`http://${host}`).hostname;
  } catch {
    return undefined;
  }
  if (hostnames.size >= MOST_HOSTNAMES) hostnames.clear();
  if (host.length <= LONGEST_HOST) hostnames.set(host, name);
  return name;
}

function isLocalName(host: string | undefined): boolean {
  const name = hostname(host);
  return name !== undefined && LOCAL_NAMES.has(name);
}
