/** Closes an HTTP server so that a load balancer in front sees refused connections and no other errors. */
import { Server } from 'node:net';
import { setImmediate } from 'node:timers';
import type { Clock } from '../../protocol/timing/clock.js';

/** The parts of Node's HTTP, HTTPS and HTTP/2 servers that are used. */
export interface ListeningServer {
  close(callback?: () => void): unknown;
  on(event: 'connection', listener: () => void): unknown;
  off(event: 'connection', listener: () => void): unknown;
  closeIdleConnections?(): void;
  closeAllConnections?(): void;
}

/** A turn of the event loop that takes less time than this had no other work. */
const QUIET_MS = 0.2;
/** A busy process has no such turn, and stops listening after this time. */
const AT_MOST_MS = 500;

/**
 * Stops listening, after a short turn of the event loop in which no connection arrived. When a process stops listening, the
 * system resets the connections that the process has not accepted yet. A load balancer could not know that the requests on
 * those connections were not begun.
 *
 * Open connections stay, because the balancer may be sending a request on one of them. The response to that request says that
 * it is the last. `closed` resolves when all connections have ended.
 */
export async function stopListening(
  server: ListeningServer,
  clock: Clock,
): Promise<{ closed: Promise<void> }> {
  const begun = clock.elapsed();
  let accepted = 0;
  const onConnection = (): void => void (accepted += 1);
  server.on('connection', onConnection);
  for (let before = begun; ;) {
    const acceptedBefore = accepted;
    await new Promise<void>((resolve) => setImmediate(resolve));
    const now = clock.elapsed();
    if (accepted === acceptedBefore && now - before < QUIET_MS) break;
    if (now - begun > AT_MOST_MS) break;
    before = now;
  }
  const closed = new Promise<void>((resolve) => {
    // The `close` of the HTTP server itself would end idle connections.
    if (server instanceof Server) Server.prototype.close.call(server, () => resolve());
    else server.close(() => resolve());
  });
  server.off('connection', onConnection);
  return { closed };
}

/** Waits up to `ms` until clients have received the last responses, then cuts the connections that are left. */
export async function endConnections(
  server: ListeningServer,
  closed: Promise<void>,
  { ms, clock }: { ms: number; clock: Clock },
): Promise<void> {
  server.closeIdleConnections?.();
  await new Promise<void>((resolve) => {
    const cancel = clock.after(ms, resolve);
    void closed.then(() => {
      cancel();
      resolve();
    });
  });
  server.closeAllConnections?.();
  // The server no longer listens, but it has a timer that `close` stops.
  server.close(() => undefined);
}
