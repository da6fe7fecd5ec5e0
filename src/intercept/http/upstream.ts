import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { urlToHttpOptions } from 'node:url';
import type { IncomingMessage } from 'node:http';
import { connect as connectTcp, isIP } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { Clock } from '../../protocol/timing/clock.js';
import { Failure } from '../failure.js';
import type { Outgoing } from './http-exchange.js';
import { exchange, headersOf } from './http-exchange.js';
import { mergedQuery } from './client-query.js';
import { queryOf } from './origin.js';

/**
 * How long an idle connection is kept. Servers usually keep theirs for five seconds. On a connection that the server is
 * about to close, a request would be lost, and the client could not know whether it had begun.
 */
export const IDLE_CONNECTION_MS = 2000;

/**
 * After this time TCP begins to probe an idle connection. Some seconds later it finds out that a peer is gone without closing
 * it.
 */
const TCP_KEEP_ALIVE_MS = 15_000;

export interface UpstreamTarget {
  /** See {@link Target.send}. */
  send(outgoing: Outgoing): Promise<IncomingMessage>;
  /** Makes a connection and closes it again. Rejects with a {@link Failure}. */
  connect(): Promise<void>;
  /** True if an open connection waits for the next request. */
  hasIdleConnection(): boolean;
  /** Sends a GET for another path of the same server. Resolves with the head of the response. */
  get(path: string, timeoutMs: number): Promise<IncomingMessage>;
  close(): Promise<void>;
}

/**
 * Makes the target for a server at a URL. Connections are not limited, because each running call and each session's GET
 * stream needs one.
 */
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
  // If the URL has credentials, the client's `Authorization` is not passed on: Node would send that one instead.
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
    // An IP address must not be sent as a server name.
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
