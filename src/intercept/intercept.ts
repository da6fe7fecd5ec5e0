/** A server that is no server object, behind the rest of this library: a handler of Express, or one at a URL. */
import type { IncomingMessage } from 'node:http';
import type { RequestHandler } from 'express';
import type { Clock } from '../protocol/clock.js';
import type { FactoryContext } from '../session/node.js';
import type { Logger, ServerLike } from '../session/types.js';
import { Failure } from './failure.js';
import type { Outgoing, Target } from './http.js';
import { Loopback } from './loopback.js';
import { originOf } from './origin.js';
import { InterceptedServer } from './server.js';
import { upstreamTarget } from './upstream.js';

export interface Interception {
  /** As the option `server`. */
  factory: (context: FactoryContext) => ServerLike;
  /** After all server objects have been closed. Never rejects. */
  close(): Promise<void>;
}

export type Intercepted = { handler: RequestHandler } | { upstream: URL };

export function intercept(
  intercepted: Intercepted,
  parts: { clock: Clock; logger: Logger; timeoutMs: number },
): Interception {
  const { clock, logger, timeoutMs } = parts;
  const target =
    'handler' in intercepted
      ? new Loopback(intercepted.handler, parts)
      : new Watched(upstreamTarget(intercepted.upstream, parts), intercepted.upstream, logger);
  return {
    factory: (context) =>
      new InterceptedServer({ target, clock, logger, timeoutMs }, originOf(context, target)),
    close: () => target.close(),
  };
}

/** Says once that the server cannot be reached, and once that it can again; and once that it wants to be elsewhere. */
class Watched implements Target {
  readonly inside = false;
  private reachable = true;
  private redirected = false;

  constructor(
    private readonly target: Target,
    private readonly url: URL,
    private readonly logger: Logger,
  ) {}

  async send(outgoing: Outgoing): Promise<IncomingMessage> {
    try {
      const response = await this.target.send(outgoing);
      if (!this.reachable) this.logger.warn(`mcp-anynode: ${this.url.origin} is reached again`);
      this.reachable = true;
      this.lookForRedirect(response);
      return response;
    } catch (error) {
      const isDown = error instanceof Failure && error.reason === 'server_unreachable';
      if (isDown && this.reachable && !outgoing.ending?.ended) {
        this.reachable = false;
        this.logger.warn(`mcp-anynode: ${this.url.origin}: ${error.message}`);
      }
      throw error;
    }
  }

  /** Not followed: what clients say, and what authorizes them, goes to the address that was given and no other. */
  private lookForRedirect({ statusCode = 0, headers: { location } }: IncomingMessage): void {
    if (this.redirected || location === undefined || statusCode < 300 || statusCode >= 400) return;
    this.redirected = true;
    this.logger.warn(
      `mcp-anynode: ${this.url.origin} redirects to ${location}, which is not followed: give that as \`upstream\``,
    );
  }

  close(): Promise<void> {
    return this.target.close();
  }
}
