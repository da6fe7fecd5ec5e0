import type { Request, RequestHandler } from 'express';
import type { Cluster, Redis } from 'ioredis';
import type { PayloadCodec } from '../../backplane/encoded/payloads.js';
import { observe } from '../../operator/observe.js';
import type { Redact } from '../../options/public-types.js';
import { MonitorHandler } from './handler.js';
import { sendText, setSafeHeaders } from './reply.js';

/** What `monitor()` shows, to whom, and what the page may do. */
export interface MonitorOptions {
  /** The Redis of the nodes: a URL, or a client whose settings are copied. The client is neither used nor closed. */
  redis: string | Redis | Cluster;
  /** The `prefix` of the nodes. Default `mcp`. */
  prefix?: string | undefined;
  /**
   * Says whether a request may see the page. It is asked for each request. There is no default, because the page shows the
   * sessions of all callers.
   */
  authorize: (req: Request) => boolean | Promise<boolean>;
  /** Whether the page may end sessions. Default `false`. */
  allowKill?: boolean | undefined;
  /** Whether the page shows the content of messages. Default `false`: methods, tools, nodes, times and outcomes only. */
  payloads?: boolean | undefined;
  /** Changes or hides the content of messages before it is shown or exported, as the option `redact` of `anynode` does. */
  redact?: Redact | undefined;
  /** The `codec` of the nodes. Only `decode` is called. */
  codec?: PayloadCodec | undefined;
  /**
   * The address at which your tracing system shows a trace, with `{traceId}` where its id belongs. The page links the requests that
   * were stored with a trace. Default: no links.
   */
  traceUrl?: string | undefined;
  /** How long a call may wait for Redis. Default 2 seconds. */
  commandTimeoutMs?: number | undefined;
  /** How many pages may watch at a time. Default 20. */
  maxWatchers?: number | undefined;
}

/** Express middleware that serves the page, and how to end it. */
export interface Monitor extends RequestHandler {
  /** Ends the connection to Redis and the pages' event streams. */
  close(): void;
}

/**
 * Makes Express middleware with a page that shows the cluster, its sessions and what happened in each. Mount it at a path of its own:
 * `app.use('/admin/mcp', monitor({ redis, authorize }))`.
 *
 * Throws a `TypeError` for options that make no sense, and without `authorize`.
 */
export function monitor(options: MonitorOptions): Monitor {
  const { authorize, redis, prefix, codec, commandTimeoutMs } = options;
  if (typeof authorize !== 'function') {
    throw new TypeError(
      'mcp-anynode: `monitor()` needs `authorize: (req) => boolean`, because the page shows the sessions of all callers. ' +
        'Return true for requests of operators only',
    );
  }
  const handler = new MonitorHandler(observe({ redis, prefix, codec, commandTimeoutMs }), options);
  const middleware: RequestHandler = (req, res, next) => {
    setSafeHeaders(res);
    Promise.resolve(req)
      .then(authorize)
      .then((allowed: unknown) => {
        if (allowed === true) return handler.handle(req, res);
        sendText(res, 403, 'text/plain; charset=utf-8', 'Not for you\n');
      })
      .catch(next);
  };
  return Object.assign(middleware, { close: () => handler.close() });
}
