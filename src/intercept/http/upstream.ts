import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { urlToHttpOptions } from 'node:url';
import type { IncomingMessage } from 'node:http';
import { connect as connectTcp, isIP } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { Clock } from '../../protocol/clock.js';
import { Failure } from '../failure.js';
import type { Outgoing } from './http-exchange.js';
import { exchange, headersOf } from './http-exchange.js';
import { mergedQuery } from './client-query.js';
import { queryOf } from './origin.js';

/**
 * Idle connections are kept for less than servers keep theirs (five seconds is usual): on one that the server is about to
 * close, a request would be lost, and nobody could tell whether it had begun.
 */
export const IDLE_CONNECTION_MS = 2000;

/** TCP itself finds out about a peer that is gone without a word, after this and some seconds. */
const TCP_KEEP_ALIVE_MS = 15_000;

export interface UpstreamTarget {
  /** As {@link Target.send}. */
  send(outgoing: Outgoing): Promise<IncomingMessage>;
  /** Resolves when a connection came about, which is closed again. Rejects with a {@link Failure}. */
  connect(): Promise<void>;
  /** Whether a connection is open that waits for the next request. */
  hasIdleConnection(): boolean;
  /** Resolves with the head of the answer to a GET of another path of the same server. */
  get(path: string, timeoutMs: number): Promise<IncomingMessage>;
  close(): Promise<void>;
}

/** A server at a URL. There is no limit to connections: each running call, and each session's GET stream, needs one. */
export function upstreamTarget(
  upstream: URL,
  {
    clock,
    timeoutMs,
    query: passesQuery = true,
  }: { clock: Clock; timeoutMs: number; query?: boolean | undefined },
): UpstreamTarget {
  const secure = upstream.protocol === 'https:';
  const options = {
    keepAlive: true,
    timeout: IDLE_CONNECTION_MS,
    keepAliveMsecs: TCP_KEEP_ALIVE_MS,
  };
  const agent = secure ? new HttpsAgent(options) : new HttpAgent(options);
  const { pathname, search } = upstream;
  const place = urlToHttpOptions(upstream);
  // Node would take the client's credentials in place of those in the URL.
  const except = place.auth === undefined ? ['host'] : ['host', 'authorization'];
  const connecting = { agent, clock, connectMs: timeoutMs };
  return {
    send(outgoing) {
      const { origin } = outgoing;
      const query = origin === undefined || !passesQuery ? '' : queryOf(origin);
      const headers = headersOf(outgoing, except);
      return exchange(
        { ...outgoing, headers },
        { place: { ...place, path: `${pathname}${mergedQuery(search, query)}` }, ...connecting },
      );
    },
    connect: () => connectOnce(upstream, { secure, clock, timeoutMs }),
    hasIdleConnection: () =>
      Object.values(agent.freeSockets).some((sockets = []) => sockets.length > 0),
    get(path, timeoutMs) {
      const headers = headersOf({ headers: { accept: '*/*' }, origin: undefined }, []);
      return exchange(
        { method: 'GET', headers, timeoutMs },
        { place: { ...place, path }, ...connecting },
      );
    },
    close() {
      agent.destroy();
      return Promise.resolve();
    },
  };
}

function connectOnce(
  { hostname, port }: URL,
  { secure, clock, timeoutMs }: { secure: boolean; clock: Clock; timeoutMs: number },
): Promise<void> {
  return new Promise((resolve, reject) => {
    const name = hostname.replace(/^\[|\]$/g, '');
    const to = { host: name, port: Number(port || (secure ? 443 : 80)) };
    // An address is no name of a server.
    const socket = secure
      ? connectTls({ ...to, ...(isIP(name) === 0 && { servername: name }) })
      : connectTcp(to);
    socket.unref();
    const fail = (detail: string): void => {
      cancel();
      reject(new Failure('server_unreachable', detail));
      socket.destroy();
    };
    const cancel = clock.after(timeoutMs, () => fail(`no connection within ${timeoutMs} ms`));
    socket.on('error', (error: NodeJS.ErrnoException) => fail(error.code ?? error.message));
    socket.once(secure ? 'secureConnect' : 'connect', () => {
      cancel();
      resolve();
      socket.destroy();
    });
  });
}
