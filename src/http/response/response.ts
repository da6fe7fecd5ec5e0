/**
 * Reads and writes responses of all kinds. Node's HTTP/1 server makes complete ones. Those of its HTTP/2 server, of
 * serverless adapters and of `mcp.fetch` lack some members, or a real socket. Only this file relies on these members.
 */
import { Socket } from 'node:net';
import { setImmediate } from 'node:timers';
import type { Http2ServerResponse } from 'node:http2';
import type { Response } from 'express';
import type { EndpointResponse } from './endpoint-response.js';

/** A response as a serverless adapter or the HTTP/2 server may make it. */
type AnyResponse = Partial<Omit<Response, 'socket'>> & {
  socket?: unknown;
  stream?: Http2ServerResponse['stream'];
  emitTimeoutWhenStalled?(ms: number): void;
};

function anyOf(res: EndpointResponse): AnyResponse {
  return res as unknown as AnyResponse;
}

/** Sends a whole response. Calls are not chained, because `writeHead` of an adapter may return nothing. */
export function reply(
  res: EndpointResponse,
  status: number,
  headers: Record<string, string> = {},
  body?: string,
): void {
  res.writeHead(status, headers);
  res.end(body);
}

/** How many characters of a body are sent in one turn of the event loop. */
const SENT_AT_ONCE = 1024 * 1024;

/**
 * Sends a whole response whose body is made of `parts`. A large body is sent one part at a time, as the client takes them,
 * so that other requests get their turns. If the response throws later, `onError` is called and no more is sent.
 */
export function replyInParts(
  res: EndpointResponse,
  headers: Record<string, string>,
  parts: string[],
  onError: (error: unknown) => void = () => cut(res),
): void {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  if (length <= SENT_AT_ONCE) {
    reply(res, 200, headers, parts.join(''));
    return;
  }
  res.writeHead(200, headers);
  const rest = parts.values();
  const sendNext = (): void => {
    // Middleware in front may have ended the response.
    if (isGone(res) || res.writableEnded) return;
    try {
      const { value, done } = rest.next();
      if (done === true) res.end();
      else if (res.write(value) || !needsDrain(res)) setImmediate(sendNext);
      else res.once('drain', sendNext);
    } catch (error) {
      onError(error);
    }
  };
  setImmediate(sendNext);
}

/** True if either side has closed the connection of this response. */
export function isGone(res: EndpointResponse): boolean {
  const { destroyed, stream } = anyOf(res);
  return destroyed === true || stream?.destroyed === true;
}

/** True if more is buffered than the connection takes at once. A `drain` event follows then. */
export function needsDrain(res: EndpointResponse): boolean {
  const { writableNeedDrain, stream } = anyOf(res);
  return writableNeedDrain ?? stream?.writableNeedDrain ?? false;
}

/** Sends the headers now, if the response can do so. */
export function flushHeaders(res: EndpointResponse): void {
  anyOf(res).flushHeaders?.();
}

/** Cuts the connection of this response. Never throws: timers call this, and an adapter may have nothing to cut. */
export function cut(res: EndpointResponse): void {
  try {
    res.destroy();
  } catch {
    // The adapter has no connection.
  }
}

/** Lets a response without a socket of its own emit `timeout` as a socket would, if it can do so. */
export function emitTimeoutWhenStalled(res: EndpointResponse, ms: number): void {
  anyOf(res).emitTimeoutWhenStalled?.(ms);
}

/** Returns the stream of a response on HTTP/2. */
export function http2StreamOf(res: EndpointResponse): AnyResponse['stream'] {
  return anyOf(res).stream;
}

/**
 * Returns the connection of a response on HTTP/1.
 *
 * - `null`: the response waits behind another one of its connection (pipelining), and will get the connection later.
 * - `undefined`: it has no connection of its own, or none that Node knows.
 */
export function connectionOf(res: EndpointResponse): Socket | null | undefined {
  const { socket, stream, req } = anyOf(res);
  if (stream !== undefined) return undefined;
  if (socket instanceof Socket) return socket;
  return socket === null && (req?.socket as unknown) instanceof Socket ? null : undefined;
}

/** Returns the connection of the request of a response that waits behind another one (see {@link connectionOf}). */
export function connectionOfRequest(res: EndpointResponse): Socket | undefined {
  return anyOf(res).req?.socket;
}
