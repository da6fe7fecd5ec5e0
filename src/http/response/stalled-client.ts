import type { EndpointResponse } from './endpoint-response.js';
import type { Socket } from 'node:net';
import { connectionOf, cut, emitTimeoutWhenStalled, http2StreamOf } from './response.js';

/**
 * Cuts the connection of a client that takes none of the buffered bytes for `ms`. This may take up to twice as long. With
 * `0`, the connection is never cut. Until the connection is cut, the buffered bytes stay in memory.
 *
 * The timeout of the socket is used, because only Node knows whether the kernel still sends bytes. So a client that reads
 * slowly is not cut. After the response the connection gets its earlier timeout back, because the next request may be for
 * another part of the application.
 */
export function cutWhenStalled(res: EndpointResponse, ms: number): void {
  if (ms === 0) return;
  // Without a listener on the response, Node would end any connection that is idle for so long.
  res.on('timeout', () => {
    if (res.writableLength > 0) cut(res);
  });
  // A connection of HTTP/2 has many responses. Only the stream of this response is watched, until the response ends.
  http2StreamOf(res)?.setTimeout(ms);
  emitTimeoutWhenStalled(res, ms);
  const socket = connectionOf(res);
  if (socket === null) res.once('socket', (later: Socket) => limit(res, later, ms));
  else if (socket !== undefined) limit(res, socket, ms);
}

function limit(res: EndpointResponse, socket: Socket, ms: number): void {
  const before = socket.timeout ?? 0;
  socket.setTimeout(ms);
  // This listener runs before Node's own, which sets the keep-alive timeout if the server has one.
  res.prependListener('finish', () => {
    if (socket.timeout === ms) socket.setTimeout(before);
  });
}
