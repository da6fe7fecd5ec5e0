import type { Socket } from 'node:net';
import type { Response } from 'express';

/**
 * Cuts the connection of a client that takes nothing of what waits for it, for `ms` and up to as long again: until
 * then it costs what is buffered. `0`: never. Node's own clock of the socket is used, which alone knows whether the
 * kernel still gets rid of bytes; a client that reads slowly is none that stands still.
 */
export function cutWhenStalled(res: Response, ms: number): void {
  if (ms === 0) return;
  // Without a listener of the response, Node would end any connection on which nothing happens.
  res.on('timeout', () => {
    if (res.writableLength > 0) res.destroy();
  });
  res.socket?.setTimeout(ms);
  // Behind another response of the connection (pipelining).
  if (res.socket === null) res.once('socket', (socket: Socket) => socket.setTimeout(ms));
}
