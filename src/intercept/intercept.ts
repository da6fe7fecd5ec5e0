/** Makes a server that is reached over HTTP usable like a server object. It is an Express handler, or a server at a URL. */
import type { Clock } from '../protocol/timing/clock.js';
import type { Intercepted } from '../options/options.js';
import type { FactoryContext, Mounted } from '../replica/replica.js';
import type { Logger, ServerLike } from '../options/public-types.js';
import { BodyReader, withoutSecrets } from './http/response-body.js';
import { Loopback } from './http/loopback.js';
import { originOf } from './http/origin.js';
import { RefusalLog } from './refusal-log.js';
import { InterceptedServer } from './intercepted-server.js';
import { ServerWatch } from './server-watch.js';
import { upstreamTarget } from './http/upstream.js';

export interface Interception {
  /** Builds server objects, like the option `server`. */
  factory: (context: FactoryContext, mounted: Mounted | undefined) => ServerLike;
  /** Returns why the server does not answer. Returns `undefined` if the server answers, or is not checked. */
  trouble(): string | undefined;
  /** True if a request would reach the server now. Never rejects. */
  isReachable(): Promise<boolean>;
  /** Resolves when the server answers. Rejects after `close()`. */
  ready(): Promise<void>;
  /** Closes the connections, after all server objects were closed. Never rejects. */
  close(): Promise<void>;
}

export function intercept(
  intercepted: Intercepted,
  parts: {
    clock: Clock;
    logger: Logger;
    timeoutMs: number;
    messageBytes: number;
    traceHeaders?: () => Record<string, string> | undefined;
  },
): Interception {
  const { clock, logger, timeoutMs, traceHeaders } = parts;
  const reader = new BodyReader(parts);
  const build = (
    target: Loopback | ServerWatch,
    place?: string,
  ): Pick<Interception, 'factory' | 'close'> => {
    const refusals = new RefusalLog({ place, clock, logger });
    const common = { target, reader, clock, logger, timeoutMs, refusals, traceHeaders };
    return {
      factory: (context, mounted) =>
        new InterceptedServer(common, originOf({ ...context, mounted }, target)),
      close: () => target.close(),
    };
  };
  if ('handler' in intercepted) {
    const loopback = new Loopback(intercepted.handler, parts);
    return {
      ...build(loopback),
      trouble: () => undefined,
      isReachable: () => Promise.resolve(true),
      ready: () => Promise.resolve(),
    };
  }
  const { upstream: url, check = false, query } = intercepted;
  const watch = new ServerWatch({
    ...parts,
    target: upstreamTarget(url, { ...parts, query }),
    url,
    check,
  });
  return {
    ...build(watch, withoutSecrets(url)),
    trouble: () => watch.trouble(),
    isReachable: () => watch.isReachable(),
    ready: () => watch.ready(),
  };
}
