import type { AuthInfo } from '../options/public-types.js';
import { readEvent, resultOf } from './lambda-event.js';
import type { EventRequest, LambdaContext, LambdaEvent, LambdaResult } from './lambda-event.js';

/** What the handler needs of a node: the handle of `anynode()` has it. */
export interface FetchServer {
  fetch(
    request: globalThis.Request,
    options?: { authInfo?: AuthInfo | undefined; clientAddress?: string | undefined },
  ): Promise<globalThis.Response>;
  ready(): Promise<void>;
}

export interface LambdaOptions<Event extends LambdaEvent = LambdaEvent> {
  /**
   * Who is calling, as an authorizer in front has found out (`event.requestContext.authorizer`). It is then `req.auth`, for the
   * option `principal` and for tools. Default: not known. If it throws, the function fails.
   */
  authInfo?: ((event: Event) => AuthInfo | undefined) | undefined;
  /**
   * How long before the end of the function's time a request is given up with 504, in milliseconds. The function can then
   * still answer. Default 500.
   */
  spareMs?: number | undefined;
}

/** The handler of a function. */
export type LambdaHandler<Event extends LambdaEvent = LambdaEvent> = (
  event: Event,
  context?: LambdaContext,
) => Promise<LambdaResult>;

/**
 * Returns the endpoint of a node as the handler of a function on AWS Lambda, behind an HTTP API, a function URL, a REST API or
 * an Application Load Balancer: `export const handler = lambdaHandler(mcp)`. It answers every path.
 *
 * A function answers each request with one whole body. So a GET, which would open an event stream, gets 405, as the protocol
 * has it for servers without such streams. Use `responseMode: 'json'`: with `sse`, a client gets all events of a call at once,
 * when the call has ended. A server cannot ask its client anything during a call, because the client would get the question
 * with the answer. See `docs/how-to/use-commonjs-and-bundlers.md`.
 *
 * The promise rejects if the event is not one of an HTTP request. Throws a `TypeError` for wrong options.
 */
export function lambdaHandler<Event extends LambdaEvent = LambdaEvent>(
  mcp: FetchServer,
  { authInfo, spareMs = 500 }: LambdaOptions<Event> = {},
): LambdaHandler<Event> {
  if (typeof (mcp as Partial<FetchServer> | undefined)?.fetch !== 'function') {
    throw new TypeError('mcp-anynode: `lambdaHandler` needs what `anynode()` has returned');
  }
  if (!(spareMs >= 0)) throw new TypeError('mcp-anynode: `spareMs` has to be at least 0');
  // A cold start connects to the backplane. If that fails, the endpoint says so for each request.
  let started: Promise<unknown> | undefined;
  return async (event, context) => {
    const read = readEvent(event);
    if (read.method === 'GET' || read.method === 'HEAD') return NO_STREAM;
    const request = requestOf(read);
    if (request === undefined) return MALFORMED;
    started ??= mcp.ready().catch(() => undefined);
    await started;
    const { clientAddress } = read;
    const answer = mcp.fetch(request.request, { clientAddress, authInfo: authInfo?.(event) });
    const left = context?.getRemainingTimeInMillis?.();
    if (left === undefined) return resultOf(await answer, event);
    return inTime(answer, event, request.abort, Math.max(0, left - spareMs));
  };
}

/** Waits for the whole response. Gives the request up after `ms`. */
async function inTime(
  answer: Promise<globalThis.Response>,
  event: LambdaEvent,
  abort: AbortController,
  ms: number,
): Promise<LambdaResult> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<LambdaResult>((resolve) => {
    timer = setTimeout(() => {
      resolve(TOO_LATE);
      abort.abort();
    }, ms).unref();
  });
  const whole = answer.then((response) => resultOf(response, event));
  try {
    return await Promise.race([whole, late]);
  } finally {
    clearTimeout(timer);
    // If it was too late, its error has no reader.
    whole.catch(() => undefined);
  }
}

/** Returns `undefined` for what cannot be a request of the Fetch standard. */
function requestOf({ method, target, headers, body }: EventRequest) {
  const abort = new AbortController();
  try {
    const all = new Headers(headers);
    const host = all.get('host') ?? 'localhost';
    const request = new Request(`https://${host}${target}`, {
      method,
      headers: all,
      signal: abort.signal,
      ...(body && { body }),
    });
    return { request, abort };
  } catch {
    return undefined;
  }
}

const NO_STREAM = refusal(405, -32000, 'Method Not Allowed: no event streams here', {
  allow: 'POST, DELETE',
});
const MALFORMED = refusal(400, -32600, 'Bad Request: the request is malformed');
const TOO_LATE = refusal(504, -32000, 'Gateway Timeout: the time of the function is over');

function refusal(
  statusCode: number,
  code: number,
  message: string,
  headers: Record<string, string> = {},
): LambdaResult {
  return {
    statusCode,
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify({ jsonrpc: '2.0', error: { code, message }, id: null }),
    isBase64Encoded: false,
  };
}
