import type { EndpointResponse } from '../response/endpoint-response.js';
import type { Request } from 'express';
import type { Modern } from '../../options/modern-option.js';
import type { Logger } from '../../options/public-types.js';
import { isMessage } from '../../protocol/json/jsonrpc.js';
import type { Body } from '../body/request-body.js';
import type { Endpoint } from '../endpoint.js';
import { requestInfoOf, textsOf } from '../headers.js';
import { checkMessages, checkValues } from '../body/message-bounds.js';
import { exchange } from './modern-exchange.js';
import { authInfoOf } from '../principal.js';
import { isGone } from '../response/response.js';

/**
 * Begins to answer a POST of revision 2026-07-28, and resolves with true without waiting for the end of the answer. Resolves
 * with false, and answers nothing, if the request is of an older revision.
 */
export async function answersModern(
  endpoint: Endpoint,
  modern: Modern,
  req: Request,
  res: EndpointResponse,
  { body, bytes, text }: Body,
): Promise<boolean> {
  const { limits } = endpoint.options;
  // These checks come before the SDK looks at the message.
  const list: unknown[] = Array.isArray(body) ? body : [body];
  checkValues(list, bytes, limits);
  checkMessages(list.filter(isMessage), bytes, limits);
  const bare = new Request(urlOf(req), { method: 'POST', headers: headersOf(req) });
  if (await modern.isLegacyRequest(bare, body)) return false;
  const gone = new AbortController();
  res.once('close', () => gone.abort());
  if (isGone(res)) gone.abort();
  const request = new Request(bare, { body: text ?? JSON.stringify(body), signal: gone.signal });
  const given = { request, parsedBody: body, authInfo: authInfoOf(req) };
  void exchange(endpoint, modern.handler, given, res);
  return true;
}

/** Closes the handler and so ends its open responses. Never rejects. */
export async function closeModern({ handler }: Modern, logger: Logger): Promise<void> {
  try {
    await handler.close();
  } catch (error) {
    logger.error(`mcp-anynode: the modern handler could not be closed: ${String(error)}`);
  }
}

/** Calls the option `modern`. Throws what it throws, or a `TypeError` if it does not return a {@link Modern}. */
export function makeModern<Parts>(
  create: ((parts: { bus: Parts }) => Modern) | undefined,
  bus: Parts,
): Modern | undefined {
  return create === undefined ? undefined : checkModern(create({ bus }));
}

function checkModern(given: Modern | null | undefined): Modern | undefined {
  if (given === undefined) return undefined;
  const { handler, isLegacyRequest } = (given ?? {}) as {
    [Name in keyof Modern]?: Partial<Modern[Name]>;
  };
  const isGiven = typeof handler?.fetch === 'function' && typeof isLegacyRequest === 'function';
  if (given !== null && isGiven) return given;
  throw new TypeError(
    'mcp-anynode: `modern` has to return { handler: createMcpHandler(…), isLegacyRequest }, both of the v2 SDK',
  );
}

function urlOf(req: Request): URL {
  const { url } = requestInfoOf(req);
  // A Host header may contain a user name and password, which a `Request` refuses.
  Object.assign(url, { username: '', password: '' });
  return url;
}

/**
 * Returns the headers as middleware in front has left them. Those of the body are removed, because the body is passed on as
 * text.
 */
function headersOf(req: Request): Headers {
  const headers = new Headers(textsOf(req));
  for (const name of OF_BODY) headers.delete(name);
  return headers;
}

const OF_BODY = ['content-encoding', 'content-length', 'transfer-encoding'];
