import { AsyncResource } from 'node:async_hooks';
import type { IncomingMessage } from 'node:http';
import { Agent, createServer, STATUS_CODES } from 'node:http';
import type { Request, RequestHandler, Response } from 'express';
import { serverOptionsFor } from '../../http/server-options.js';
import type { Clock } from '../../protocol/clock.js';
import type { Mounted } from '../../replica/replica.js';
import type { Logger } from '../../options/types.js';
import { Failure } from '../failure.js';
import type { Outgoing, Target } from './http-exchange.js';
import { exchange, headersOf } from './http-exchange.js';
import { LocalSocket } from './local-socket.js';
import type { ExpressTraits } from './origin.js';
import { IDLE_CONNECTION_MS } from './upstream.js';

/**
 * An Express handler of this process, reached over connections to ourselves: what it is called with are requests and
 * responses of Node's own HTTP server, each on a socket, so that whatever it does with them works as in front of a client.
 * What middleware in front has made of the client's request is put on the handler's.
 *
 * There is no port, by which other processes of the machine could get past that middleware.
 */
export class Loopback implements Target {
  readonly inside = true;
  readonly restarts = 0;
  private readonly agent = new LocalAgent({ keepAlive: true, timeout: IDLE_CONNECTION_MS });
  /** What is sent over the connection whose client's end this is. */
  private readonly underway = new WeakMap<object, Outgoing>();
  private serving: Promise<void> | undefined;
  private closed = false;
  private app: ExpressTraits['app'] | undefined;
  /** Whether there is a body parser in front is known from the first POST; the same holds for all. */
  private parsed: Mounted['parsed'];

  constructor(
    private readonly handler: RequestHandler,
    private readonly parts: { clock: Clock; logger: Logger; timeoutMs: number },
  ) {}

  async send(outgoing: Outgoing): Promise<IncomingMessage> {
    this.parsed = outgoing.origin?.parsed ?? this.parsed;
    this.app = outgoing.origin?.express?.app ?? this.app;
    await (this.serving ??= this.serve().catch((error: unknown) => {
      this.serving = undefined;
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
    // Only here is more needed of Express than its types.
    const { default: express } = await import('express');
    const app = express().disable('x-powered-by');
    app.use((req, res) => this.handle(req, res, this.outgoingOf(req)));
    // Of the application that it is mounted in, if that is known by now: then `present` finds its prototypes in place.
    const server = createServer(serverOptionsFor(this.app ?? app), (req, res) => {
      const outgoing = this.outgoingOf(req);
      const begin = (): void => {
        // What comes without Express's own request needs what an application puts on one.
        if (outgoing?.origin?.express === undefined) app(req, res);
        else this.handle(req as Request, res as Response, outgoing);
      };
      const body = this.admit(req, outgoing);
      if (body === undefined) begin();
      else body.then(begin).catch(() => req.destroy()); // it broke off
    });
    // It is our own connections that come here, and they stay as long as we want.
    Object.assign(server, { keepAliveTimeout: 0, requestTimeout: 0, headersTimeout: 0 });
    this.agent.accept = (socket) => void server.emit('connection', socket);
  }

  private outgoingOf(req: IncomingMessage): Outgoing | undefined {
    const peer = req.socket instanceof LocalSocket ? req.socket.peer : undefined;
    return peer && this.underway.get(peer);
  }

  /** Before Express looks at it: where it came in, and its body, if a parser in front has read the client's. */
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
      // Express 5 minds a promise that it returns.
      const handled = this.handler(req, res, next);
      if (handled instanceof Promise) handled.catch(next);
    } catch (error) {
      next(error);
    }
  }

  /** As an application does with what nobody in it has answered. */
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

  /** As the application that this middleware is mounted in would. */
  private present(req: Request, res: Response, outgoing: Outgoing | undefined): void {
    const { express, authInfo } = outgoing?.origin ?? {};
    const app = express?.app ?? this.app;
    // Without Express's own request it is the one here that has read it, and Express 4 has no getter for it.
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

/** Some have a getter in Express, which would look at this connection. */
function define(req: Request, name: string, value: unknown): void {
  const property = { value, writable: true, enumerable: true, configurable: true };
  Object.defineProperty(req, name, property);
}

const PLACE = { host: '127.0.0.1', path: '/' };

class LocalAgent extends Agent {
  /** Takes the server's end of a new connection. */
  accept: (socket: LocalSocket) => void = () => undefined;
  /** A connection is used by many requests: it must not keep what belongs to the one that it was opened for. */
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
