import { AsyncResource } from 'node:async_hooks';
import type { IncomingMessage } from 'node:http';
import { Agent, createServer, STATUS_CODES } from 'node:http';
import type { Request, RequestHandler, Response } from 'express';
import { serverOptionsFor } from '../../http/server-options.js';
import { LogLimit } from '../../protocol/log-limit.js';
import type { Clock } from '../../protocol/timing/clock.js';
import type { Mounted } from '../../replica/replica.js';
import type { Logger } from '../../options/public-types.js';
import { Failure } from '../failure.js';
import type { Outgoing, Target } from './http-exchange.js';
import { exchange, headersOf } from './http-exchange.js';
import { LocalSocket } from './local-socket.js';
import type { ExpressTraits } from './origin.js';
import { IDLE_CONNECTION_MS } from './upstream.js';

/**
 * Reaches an Express handler of this process over local connections. The handler gets requests and responses of Node's own
 * HTTP server, each on a socket, so that it works as if a client had connected to it. What middleware in front has added to
 * the client's request is put on the handler's request.
 *
 * There is no port, so other processes of the machine cannot get past that middleware.
 */
export class Loopback implements Target {
  readonly inside = true;
  readonly restarts = 0;
  private readonly agent = new LocalAgent({ keepAlive: true, timeout: IDLE_CONNECTION_MS });
  /** The request that is sent over a connection, by the client's end of the connection. */
  private readonly underway = new WeakMap<object, Outgoing>();
  private serving: Promise<void> | undefined;
  private closed = false;
  private readonly logLimit: LogLimit;
  private app: ExpressTraits['app'] | undefined;
  /**
   * How a body parser in front has parsed the client's bodies, if there is such a parser. A request with an origin shows
   * this, and it holds for requests without an origin too.
   */
  private parsed: Mounted['parsed'];

  constructor(
    private readonly handler: RequestHandler,
    private readonly parts: { clock: Clock; logger: Logger; timeoutMs: number },
  ) {
    this.logLimit = new LogLimit(parts.clock);
  }

  async send(outgoing: Outgoing): Promise<IncomingMessage> {
    this.parsed = outgoing.origin?.parsed ?? this.parsed;
    this.app = outgoing.origin?.express?.app ?? this.app;
    await (this.serving ??= this.serve().catch((error: unknown) => {
      this.serving = undefined;
      const { logger } = this.parts;
      this.logLimit.pass('', (more) => logger.error(`mcp-anynode: ${String(error)}${more}`));
      throw new Failure('server_unreachable', String(error));
    }));
    if (this.closed) throw new Failure('server_unreachable', 'closed');
    const { clock, timeoutMs: connectMs } = this.parts;
    return exchange(
      { ...outgoing, headers: headersOf(outgoing, []) },
      {
        ...{ place: PLACE, agent: this.agent, clock, connectMs },
        onSocket: (socket) => this.underway.set(socket, outgoing),
      },
    );
  }

  close(): Promise<void> {
    this.closed = true;
    this.agent.destroy();
    return Promise.resolve();
  }

  private async serve(): Promise<void> {
    const express = await loadExpress();
    const app = express().disable('x-powered-by');
    app.use((req, res) => this.handle(req, res, this.outgoingOf(req)));
    // Use the application in which the node is mounted, if it is known. Then `present` finds its prototypes in place.
    const server = createServer(serverOptionsFor(this.app ?? app), (req, res) => {
      const outgoing = this.outgoingOf(req);
      const begin = (): void => {
        // If no Express application handled the client's request, let `app` put on this request what an application puts
        // there.
        if (outgoing?.origin?.express === undefined) app(req, res);
        else this.handle(req as Request, res as Response, outgoing);
      };
      const body = this.admit(req, outgoing);
      if (body === undefined) begin();
      else body.then(begin).catch(() => req.destroy()); // the body broke off
    });
    // Only this class connects to this server, and it closes its connections itself. So turn the timeouts of the server off.
    Object.assign(server, { keepAliveTimeout: 0, requestTimeout: 0, headersTimeout: 0 });
    this.agent.accept = (socket) => void server.emit('connection', socket);
  }

  private outgoingOf(req: IncomingMessage): Outgoing | undefined {
    const peer = req.socket instanceof LocalSocket ? req.socket.peer : undefined;
    return peer && this.underway.get(peer);
  }

  /**
   * Prepares a request before Express sees it. Sets the path, and the body if a parser in front has read the client's body.
   */
  private admit(req: IncomingMessage, outgoing: Outgoing | undefined): Promise<void> | undefined {
    const { originalUrl = '/', base = '', parsed = this.parsed } = outgoing?.origin ?? {};
    const below = originalUrl.startsWith(base) ? originalUrl.slice(base.length) : originalUrl;
    const url = below.startsWith('/') ? below : `/${below}`;
    Object.assign(req, { originalUrl, baseUrl: base, url });
    if (req.method !== 'POST' || parsed === undefined) return undefined;
    return bytesOf(req).then((bytes) => {
      const body: unknown =
        parsed === 'raw'
          ? bytes
          : parsed === 'text'
            ? bytes.toString()
            : JSON.parse(bytes.toString());
      Object.assign(req, { body, _body: true });
    });
  }

  private handle(req: Request, res: Response, outgoing: Outgoing | undefined): void {
    this.present(req, res, outgoing);
    const next = (why?: unknown): void => this.finish(req, res, why);
    try {
      // Express 5 handles a promise that the handler returns.
      const handled = this.handler(req, res, next);
      if (handled instanceof Promise) handled.catch(next);
    } catch (error) {
      next(error);
    }
  }

  /** Answers a request that the handler did not answer, as an Express application does. */
  private finish(req: Request, res: Response, why: unknown): void {
    const passed = !why || why === 'route' || why === 'router';
    const { status, statusCode } = (passed ? {} : why) as {
      status?: unknown;
      statusCode?: unknown;
    };
    const given = [status, statusCode].find((code) => Number(code) >= 400 && Number(code) < 600);
    const code = passed ? 404 : Number(given ?? 500);
    if (code >= 500) {
      const text = why instanceof Error ? (why.stack ?? why.message) : String(why);
      this.parts.logger.error(`mcp-anynode: the handler failed: ${text}`);
    }
    if (res.headersSent) {
      req.socket.destroy();
      return;
    }
    for (const name of res.getHeaderNames()) res.removeHeader(name);
    res.statusCode = code;
    res.setHeader('Content-Type', 'text/plain; charset=utf-8');
    res.end(passed ? `Cannot ${req.method} ${req.originalUrl}` : STATUS_CODES[code]);
  }

  /** Prepares request and response as the application in which this middleware is mounted does. */
  private present(req: Request, res: Response, outgoing: Outgoing | undefined): void {
    const { express, authInfo } = outgoing?.origin ?? {};
    const app = express?.app ?? this.app;
    // If no Express application handled the client's request, the application of this class has parsed the query. The
    // prototypes of an Express 4 application have no getter for the query, so keep it.
    const query = express === undefined ? req.query : undefined;
    if (app !== undefined) {
      Object.setPrototypeOf(req, app.request);
      Object.setPrototypeOf(res, app.response);
    }
    if (query !== undefined && (req.query as unknown) === undefined) define(req, 'query', query);
    req.res = res;
    res.req = req;
    if (express !== undefined) res.locals = express.locals;
    if (authInfo !== undefined) define(req, 'auth', authInfo);
    if (express === undefined) return;
    for (const traits of [express.added, express.seen]) {
      for (const name of Object.keys(traits)) define(req, name, traits[name]);
    }
  }
}

/**
 * Loads Express, of which all other code of this library needs only the types. Bundlers that do not find it go on, because
 * the error is caught.
 */
async function loadExpress() {
  try {
    const { default: express } = await import('express');
    return express;
  } catch (cause) {
    const text =
      'the option `handler` needs the package express; install it with: npm install express';
    throw new Error(text, { cause });
  }
}

/** Defines a property of the request. Express has getters for some names, which would look at this local connection. */
function define(req: Request, name: string, value: unknown): void {
  const property = { value, writable: true, enumerable: true, configurable: true };
  Object.defineProperty(req, name, property);
}

const PLACE = { host: '127.0.0.1', path: '/' };

class LocalAgent extends Agent {
  /** Takes the server's end of a new connection. */
  accept: (socket: LocalSocket) => void = () => undefined;
  /** Many requests use a connection, so it must not keep the asynchronous context of the request that opened it. */
  private readonly context = new AsyncResource('LocalAgent');

  override createConnection(): LocalSocket {
    return this.context.runInAsyncScope(() => {
      const [here, there] = LocalSocket.pair();
      this.accept(there);
      return here;
    });
  }
}

function bytesOf(req: IncomingMessage): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    req.on('data', (chunk: Buffer) => chunks.push(chunk));
    req.once('end', () => resolve(Buffer.concat(chunks)));
    req.once('error', reject);
  });
}
