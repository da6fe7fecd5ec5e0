import type { Options } from '../options/options.js';
import type { Clock } from '../protocol/clock.js';
import type { Factory } from '../replica/replica.js';
import type { Interception } from './intercept.js';
import { intercept } from './intercept.js';

/** What builds the server objects of a node, and the server behind it, if there is one. */
export type Servers = Omit<Interception, 'factory'> & { factory: Factory };

/** Takes the server of the options, whichever way it is given: a factory, a handler, or a URL. */
export function serversOf(
  { server, intercepted, upstreamTimeoutMs, upstreamMessageBytes, logger }: Options,
  clock: Clock,
): Servers {
  if (intercepted !== undefined) {
    const [timeoutMs, messageBytes] = [upstreamTimeoutMs, upstreamMessageBytes];
    return intercept(intercepted, { clock, logger, timeoutMs, messageBytes });
  }
  if (server === undefined) throw new TypeError('mcp-anynode: there is no `server`');
  const done = (): Promise<void> => Promise.resolve();
  const isReachable = (): Promise<boolean> => Promise.resolve(true);
  return { factory: server, trouble: () => undefined, isReachable, ready: done, close: done };
}
