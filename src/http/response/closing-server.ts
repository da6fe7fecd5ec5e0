/** Ending an HTTP server so that a balancer in front notices nothing of it but refused connections. */
import { Server } from 'node:net';
import { setImmediate } from 'node:timers';
import type { Clock } from '../../protocol/clock.js';

/** The parts of Node's HTTP, HTTPS and HTTP/2 servers that are used. */
export interface ListeningServer {
  close(callback?: () => void): unknown;
  on(event: 'connection', listener: () => void): unknown;
  off(event: 'connection', listener: () => void): unknown;
  closeIdleConnections?(): void;
  closeAllConnections?(): void;
}

/** A turn of the event loop that takes no longer has nothing else to do. */
const QUIET_MS = 0.2;
/** A busy process has no such turn: it stops listening all the same. */
const AT_MOST_MS = 500;

/**
 * Stops listening. The system resets connections that it has set up and the process has not accepted yet, and a balancer
 * cannot know that what it sent on them was not begun. So this waits for a turn of the event loop in which no
 * connection came, and which was short. Connections that are kept stay: the balancer may be sending on one just now, and
 * its response says that it is the last. `closed` resolves when all have ended.
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
    // The HTTP server's own `close` would end idle connections.
    if (server instanceof Server) Server.prototype.close.call(server, () => resolve());
    else server.close(() => resolve());
  });
  server.off('connection', onConnection);
  return { closed };
}

/** Waits until the last responses have been taken, for up to `ms`, and ends what is left of connections. */
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
  // It does not listen any more, but has a timer of its own.
  server.close(() => undefined);
}
