import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { urlToHttpOptions } from 'node:url';
import type { Clock } from '../protocol/clock.js';
import type { Target } from './http.js';
import { exchange, headersOf } from './http.js';
import { queryOf } from './origin.js';

/**
 * Idle connections are kept for less than servers keep theirs (five seconds is usual): on one that the server is about to
 * close, a request would be lost, and nobody could tell whether it had begun.
 */
export const IDLE_CONNECTION_MS = 2000;

/** TCP itself finds out about a peer that is gone without a word, after this and some seconds. */
const TCP_KEEP_ALIVE_MS = 15_000;

/** A server at a URL. There is no limit to connections: each running call, and each session's GET stream, needs one. */
export function upstreamTarget(
  upstream: URL,
  { clock, timeoutMs }: { clock: Clock; timeoutMs: number },
): Target {
  const secure = upstream.protocol === 'https:';
  const options = {
    keepAlive: true,
    timeout: IDLE_CONNECTION_MS,
    keepAliveMsecs: TCP_KEEP_ALIVE_MS,
  };
  const agent = secure ? new HttpsAgent(options) : new HttpAgent(options);
  const { pathname, search } = upstream;
  const place = urlToHttpOptions(upstream);
  return {
    inside: false,
    send(outgoing) {
      const query = outgoing.origin === undefined ? '' : queryOf(outgoing.origin);
      const more = query.length > 1 ? `${search === '' ? '?' : '&'}${query.slice(1)}` : '';
      const headers = headersOf(outgoing, ['host']);
      return exchange(
        { ...outgoing, headers },
        {
          place: { ...place, path: `${pathname}${search}${more}` },
          agent,
          clock,
          connectMs: timeoutMs,
        },
      );
    },
    close() {
      agent.destroy();
      return Promise.resolve();
    },
  };
}
