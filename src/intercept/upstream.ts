import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import type { Clock } from '../protocol/clock.js';
import type { Target } from './http.js';
import { exchange, headersOf } from './http.js';
import { queryOf } from './origin.js';

/**
 * Idle connections are kept for less than servers keep theirs (five seconds is usual): on one that the server is about to
 * close, a request would be lost, and nobody could tell whether it had begun.
 */
export const IDLE_CONNECTION_MS = 2000;

/** A server at a URL. There is no limit to connections: each running call, and each session's GET stream, needs one. */
export function upstreamTarget(
  upstream: URL,
  { clock, timeoutMs }: { clock: Clock; timeoutMs: number },
): Target {
  const options = { keepAlive: true, timeout: IDLE_CONNECTION_MS };
  const agent = upstream.protocol === 'https:' ? new HttpsAgent(options) : new HttpAgent(options);
  return {
    send(outgoing) {
      const url = new URL(upstream);
      const query = outgoing.origin === undefined ? '' : queryOf(outgoing.origin);
      if (query.length > 1) url.search += `${url.search === '' ? '?' : '&'}${query.slice(1)}`;
      const headers = headersOf(outgoing, ['host']);
      return exchange({ ...outgoing, headers }, { url, agent, clock, connectMs: timeoutMs });
    },
    close() {
      agent.destroy();
      return Promise.resolve();
    },
  };
}
