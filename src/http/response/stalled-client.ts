import type { Socket } from 'node:net';
import type { Response } from 'express';
import { connectionOf, cut, http2StreamOf } from './response.js';

/**
 * Cuts the connection of a client that takes nothing of what waits for it, for `ms` and up to as long again: until
 * then it costs what is buffered. `0`: never. Node's own clock of the socket is used, which alone knows whether the
 * kernel still gets rid of bytes; a client that reads slowly is none that stands still. When the response has ended, the
 * connection has the timeout that it had before: the next request on it may be for another part of the application.
 */
export function cutWhenStalled(res: Response, ms: number): void {
  if (ms === 0) return;
  // Without a listener of the response, Node would end any connection on which nothing happens.
  res.on('timeout', () => {
    if (res.writableLength > 0) cut(res);
  });
  // One connection of HTTP/2 has many responses: only the stream of this one is watched, and it ends with the response.
  http2StreamOf(res)?.setTimeout(ms);
  const socket = connectionOf(res);
  if (socket === null) res.once('socket', (later: Socket) => limit(res, later, ms));
  else if (socket !== undefined) limit(res, socket, ms);
}

function limit(res: Response, socket: Socket, ms: number): void {
  const before = socket.timeout ?? 0;
  socket.setTimeout(ms);
  // Ahead of Node's own listener, which sets the time for which the connection may be idle, unless that is without limit.
  res.prependListener('finish', () => {
    if (socket.timeout === ms) socket.setTimeout(before);
  });
}
