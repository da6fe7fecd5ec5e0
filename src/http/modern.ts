import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Request, Response } from 'express';
import type { AuthInfo } from '../session/types.js';
import { isMessage, isRequest } from '../protocol/jsonrpc.js';
import { peekBody } from './body.js';
import type { Endpoint } from './endpoint.js';
import { isJson, requestInfoOf } from './headers.js';
import { authInfoOf } from './principal.js';
import { refuse, REFUSALS } from './reply.js';
import { cutWhenStalled } from './stalled.js';

/** What serves revision 2026-07-28, which knows no sessions: the v2 SDK's own, given by the user. */
export interface Modern {
  /** What the v2 SDK's `createMcpHandler` returns. */
  handler: ModernHandler;
  /** The v2 SDK's function of this name. It decides: what it calls legacy gets a session, all else goes to `handler`. */
  isLegacyRequest(request: globalThis.Request, parsedBody?: unknown): Promise<boolean>;
}

/** As much of the v2 SDK's `McpHttpHandler` as is used. */
export interface ModernHandler {
  fetch(
    request: globalThis.Request,
    options?: { authInfo?: AuthInfo; parsedBody?: unknown },
  ): Promise<globalThis.Response>;
  close(): Promise<void>;
}

/**
 * Answers a request of 2026-07-28, which may take longer than the returned promise. `false`: it is none, and its body
 * can be read still.
 */
export async function answersModern(
  endpoint: Endpoint,
  req: Request,
  res: Response,
): Promise<boolean> {
  const { modern, options } = endpoint;
  // All else is of the other era, or would be refused alike: the body alone makes the difference.
  if (modern === undefined || req.method !== 'POST' || !isJson(req)) return false;
  const parsedBody = await peekBody(req, options.maxBodyBytes);
  const gone = new AbortController();
  res.once('close', () => gone.abort());
  if (res.destroyed) gone.abort();
  const request = webRequest(req, parsedBody, gone.signal);
  if (await modern.isLegacyRequest(request, parsedBody)) return false;
  void exchange(endpoint, modern.handler, { request, parsedBody, authInfo: authInfoOf(req) }, res);
  return true;
}

/** Never rejects. */
async function exchange(
  { node, options }: Endpoint,
  handler: ModernHandler,
  {
    request,
    parsedBody,
    authInfo,
  }: { request: globalThis.Request; parsedBody: unknown; authInfo: AuthInfo | undefined },
  res: Response,
): Promise<void> {
  // A subscription has no end of its own: nobody waits for it.
  const ends = !isListen(parsedBody);
  if (ends) node.running.begin();
  try {
    const given = { parsedBody, ...(authInfo !== undefined && { authInfo }) };
    const response = await handler.fetch(request, given);
    if (res.headersSent || res.destroyed) return;
    cutWhenStalled(res, options.limits.stalledMs);
    res.writeHead(response.status, Object.fromEntries(response.headers));
    if (response.body === null) {
      res.end();
      return;
    }
    res.flushHeaders();
    await pipeline(Readable.fromWeb(response.body), res);
  } catch (error) {
    // The client went away, or this node closes; else it is the handler's own.
    if (res.destroyed) return;
    options.logger.error(`mcp-anynode: a response of the modern handler failed: ${String(error)}`);
    if (res.headersSent) res.destroy();
    else refuse(res, REFUSALS.failed);
  } finally {
    if (ends) node.running.end();
  }
}

/** Throws a `TypeError` for anything else than what {@link Modern} says. */
export function checkModern(given: Modern | undefined): Modern | undefined {
  if (given === undefined) return undefined;
  const { handler, isLegacyRequest } = given as { [Name in keyof Modern]?: Partial<Modern[Name]> };
  const isGiven = typeof handler?.fetch === 'function' && typeof isLegacyRequest === 'function';
  if (isGiven) return given;
  throw new TypeError(
    'mcp-anynode: `modern` has to return { handler: createMcpHandler(…), isLegacyRequest }, both of the v2 SDK',
  );
}

function isListen(body: unknown): boolean {
  return isMessage(body) && isRequest(body) && body.method === 'subscriptions/listen';
}

function webRequest(req: Request, parsedBody: unknown, signal: AbortSignal): globalThis.Request {
  const headers = new Headers();
  const { rawHeaders } = req;
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    headers.append(rawHeaders[at] ?? '', rawHeaders[at + 1] ?? '');
  }
  const body: unknown = req.body;
  const text = typeof body === 'string' ? body : JSON.stringify(parsedBody);
  return new Request(requestInfoOf(req).url, { method: 'POST', headers, body: text, signal });
}
