import type { Options } from '../options/options.js';
import type { Clock } from '../protocol/timing/clock.js';
import type { Factory } from '../replica/replica.js';
import type { Interception } from './intercept.js';
import { intercept } from './intercept.js';

/**
 * The factory of a node's server objects. If these reach a server over HTTP, the other members tell the state of that server.
 */
export type Servers = Omit<Interception, 'factory'> & { factory: Factory };

/** Makes the servers for the option that is given: a factory, a handler or a URL. */
export function serversOf(
  { server, intercepted, upstreamTimeoutMs, upstreamMessageBytes, logger }: Options,
  clock: Clock,
  traceHeaders: () => Record<string, string> | undefined,
): Servers {
  if (intercepted !== undefined) {
    const [timeoutMs, messageBytes] = [upstreamTimeoutMs, upstreamMessageBytes];
    return intercept(intercepted, { clock, logger, timeoutMs, messageBytes, traceHeaders });
  }
  if (server === undefined) throw new TypeError('mcp-anynode: there is no `server`');
  const done = (): Promise<void> => Promise.resolve();
  const isReachable = (): Promise<boolean> => Promise.resolve(true);
  // The application's function gets its one argument only.
  return {
    factory: (context) => server(context),
    trouble: () => undefined,
    isReachable,
    ready: done,
    close: done,
  };
}
