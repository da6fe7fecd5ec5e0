import type { EndpointResponse } from '../response/endpoint-response.js';
import type { Writable } from 'node:stream';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { JsonRpcError, RequestId } from '../../protocol/json/jsonrpc.js';
import { isMessage, isResponse } from '../../protocol/json/jsonrpc.js';
import { onOneLine } from '../../protocol/json/json-text.js';
import { nodeClosed } from '../../replica/requests/request-errors.js';
import type { AuthInfo } from '../../options/public-types.js';
import type { Endpoint } from '../endpoint.js';
import type { ModernHandler } from '../../options/modern-option.js';
import { refuse, REFUSALS } from '../response/refusals.js';
import { cut, flushHeaders, isGone, reply } from '../response/response.js';
import { cutWhenStalled } from '../response/stalled-client.js';

interface Given {
  request: globalThis.Request;
  parsedBody: unknown;
  authInfo: AuthInfo | undefined;
}

/** The status of a call that was running when the v2 SDK's handler was closed, if its response had not begun by then. */
const BROKEN_OFF = 499;

/** Lets the handler answer a request on its connection. Never rejects. */
export async function exchange(
  endpoint: Endpoint,
  handler: ModernHandler,
  { request, parsedBody, authInfo }: Given,
  res: EndpointResponse,
): Promise<void> {
  const { options, lifetime } = endpoint;
  const { running, exchanges } = lifetime;
  const isClosed = (): boolean => lifetime.isClosed();
  const { method, id } = (parsedBody ?? {}) as { method?: unknown; id?: unknown };
  const listens = method === 'subscriptions/listen';
  exchanges.begin();
  // A subscription does not end by itself, so a node that drains does not wait for it.
  if (!listens) running.begin();
  try {
    const given = { parsedBody, ...(authInfo !== undefined && { authInfo }) };
    const response = await handler.fetch(request, given);
    if (isGone(res)) return;
    cutWhenStalled(res, options.limits.stalledMs);
    // If the handler was closed meanwhile, it does not end this subscription, so end it here.
    if (listens && isClosed()) {
      await response.body?.cancel();
      refuse(res, REFUSALS.closed);
      return;
    }
    const unanswered = (): JsonRpcError | undefined =>
      isClosed() && !listens && isRequestId(id) ? nodeClosed(id) : undefined;
    await show(response, res, unanswered);
  } catch (error) {
    // The client went away, the handler was closed before it began, or the handler failed.
    if (isGone(res)) return;
    if (!isClosed()) {
      options.logger.error(
        `mcp-anynode: a response of the modern handler failed: ${String(error)}`,
      );
    }
    if (res.headersSent) cut(res);
    else refuse(res, isClosed() ? REFUSALS.closed : REFUSALS.failed);
  } finally {
    if (!listens) running.end();
    exchanges.end();
  }
}

/**
 * Writes the handler's response. `unanswered` returns the error for a call that the handler left without an answer because
 * this node closed.
 */
async function show(
  response: globalThis.Response,
  res: EndpointResponse,
  unanswered: () => JsonRpcError | undefined,
): Promise<void> {
  const error = response.status === BROKEN_OFF ? unanswered() : undefined;
  if (error !== undefined) {
    const body = JSON.stringify(error);
    reply(res, 200, { 'Content-Type': 'application/json' }, body);
    return;
  }
  res.writeHead(response.status, endToEnd(response.headers));
  if (response.body === null) {
    res.end();
    return;
  }
  flushHeaders(res);
  const source = Readable.fromWeb(response.body);
  const isStream = response.headers.get('content-type')?.startsWith('text/event-stream') === true;
  const sink = res as unknown as Writable;
  if (isStream) await pipeline(source, (chunks) => answered(chunks, unanswered), sink);
  else await pipeline(source, sink);
}

/** Returns the headers without those of a connection. Node sets these, for the real connection. */
function endToEnd(headers: Headers): Record<string, string> {
  return Object.fromEntries([...headers].filter(([name]) => !HOP_BY_HOP.has(name)));
}

const HOP_BY_HOP = new Set(['connection', 'keep-alive', 'transfer-encoding', 'upgrade']);

/**
 * Passes an event stream on. If the answer is missing at its end, adds an error. Otherwise the client would wait until its
 * timeout.
 */
async function* answered(
  chunks: AsyncIterable<Uint8Array>,
  unanswered: () => JsonRpcError | undefined,
): AsyncGenerator<Uint8Array | string> {
  let last: Uint8Array | undefined;
  // A character may be split between two chunks.
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  for await (const chunk of chunks) {
    last = chunk;
    yield onOneLine(decoder.decode(chunk, { stream: true }));
  }
  const error = unanswered();
  if (error === undefined || (last !== undefined && endsWithResponse(last))) return;
  yield `event: message\ndata: ${onOneLine(JSON.stringify(error))}\n\n`;
}

/**
 * True if the last event in the chunk is a response. The SDK writes whole events, with one line of data each. Data that
 * cannot be read counts as a response, so that nothing is added.
 */
function endsWithResponse(chunk: Uint8Array): boolean {
  const line = Buffer.from(chunk)
    .toString()
    .split('\n')
    .findLast((each) => each.startsWith(DATA));
  if (line === undefined) return false;
  try {
    const message: unknown = JSON.parse(line.slice(DATA.length));
    return !isMessage(message) || isResponse(message);
  } catch {
    return true;
  }
}

const DATA = 'data: ';

function isRequestId(id: unknown): id is RequestId {
  return typeof id === 'string' || typeof id === 'number';
}
