/** A server that is no server object, behind the rest of this library: a handler of Express, or one at a URL. */
import type { RequestHandler } from 'express';
import type { Clock } from '../protocol/clock.js';
import type { FactoryContext } from '../replica/replica.js';
import type { Logger, ServerLike } from '../options/types.js';
import { BodyReader, withoutSecrets } from './http/response-body.js';
import { Loopback } from './http/loopback.js';
import { originOf } from './http/origin.js';
import { RefusalLog } from './refusal-log.js';
import { InterceptedServer } from './intercepted-server.js';
import { ServerWatch } from './server-watch.js';
import { upstreamTarget } from './http/upstream.js';

export interface Interception {
  /** As the option `server`. */
  factory: (context: FactoryContext) => ServerLike;
  /** Why the server behind does not answer; `undefined`: it does, or is not looked at. At once. */
  trouble(): string | undefined;
  /** Whether a request would reach the server behind now. Never rejects. */
  isReachable(): Promise<boolean>;
  /** Resolves when the server behind answers. Rejects after `close()`. */
  ready(): Promise<void>;
  /** After all server objects have been closed. Never rejects. */
  close(): Promise<void>;
}

/** `check`, `query`: see `upstreamCheck` and `upstreamQuery` in the options. */
export type Intercepted =
  { handler: RequestHandler } | { upstream: URL; check?: boolean | string; query?: boolean };

export function intercept(
  intercepted: Intercepted,
  parts: { clock: Clock; logger: Logger; timeoutMs: number; messageBytes: number },
): Interception {
  const { clock, logger, timeoutMs } = parts;
  const reader = new BodyReader(parts);
  const build = (
    target: Loopback | ServerWatch,
    place?: string,
  ): Pick<Interception, 'factory' | 'close'> => {
    const refusals = new RefusalLog({ place, clock, logger });
    const common = { target, reader, clock, logger, timeoutMs, refusals };
    return {
      factory: (context) => new InterceptedServer(common, originOf(context, target)),
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
