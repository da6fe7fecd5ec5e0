import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { IncomingMessage, Server } from 'node:http';
import { Agent, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Request, RequestHandler, Response } from 'express';
import type { Clock } from '../protocol/clock.js';
import type { Mounted } from '../session/replica.js';
import { Failure } from './failure.js';
import type { Outgoing, Target } from './http.js';
import { exchange, headersOf } from './http.js';
import type { ExpressTraits } from './origin.js';
import { IDLE_CONNECTION_MS } from './upstream.js';

/** Names the request that a connection to ourselves brings. Good for one, and for nobody who does not know it. */
const TICKET = 'x-anynode-ticket';

interface Place {
  server: Server;
  port: number;
}

/**
 * An Express handler of this process, reached over the loopback interface: what it is called with are Node's own requests
 * and responses on a real socket, so that whatever it does with them works as in front of a client. What middleware in
 * front has made of the client's request is put on the handler's.
 *
 * The port is open to other processes of the machine, which may not get past that middleware: a request without a ticket
 * is cut off.
 */
export class Loopback implements Target {
  private readonly agent = new Agent({ keepAlive: true, timeout: IDLE_CONNECTION_MS });
  private readonly tickets = new Map<string, Outgoing>();
  private readonly admitted = new WeakMap<IncomingMessage, Outgoing>();
  private place: Promise<Place> | undefined;
  private closed = false;
  private app: ExpressTraits['app'] | undefined;
  /** Whether there is a body parser in front is known from the first POST; the same holds for all. */
  private parsed: Mounted['parsed'];

  constructor(
    private readonly handler: RequestHandler,
    private readonly clock: Clock,
    private readonly timeoutMs: number,
  ) {}

  async send(outgoing: Outgoing): Promise<IncomingMessage> {
    const { port } = await this.listening();
    this.parsed = outgoing.origin?.parsed ?? this.parsed;
    this.app = outgoing.origin?.express?.app ?? this.app;
    const ticket = randomBytes(18).toString('base64url');
    this.tickets.set(ticket, outgoing);
    const headers = { ...headersOf(outgoing, []), [TICKET]: ticket };
    const { clock, agent, timeoutMs: connectMs } = this;
    const url = new URL(`http://127.0.0.1:${port}/`);
    try {
      return await exchange({ ...outgoing, headers }, { url, agent, clock, connectMs });
    } finally {
      this.tickets.delete(ticket);
    }
  }

  async close(): Promise<void> {
    this.closed = true;
    this.agent.destroy();
    const place = await this.place?.catch(() => undefined);
    place?.server.close();
    place?.server.closeAllConnections();
  }

  private listening(): Promise<Place> {
    if (this.closed) return Promise.reject(new Failure('server_unreachable', 'closed'));
    this.place ??= this.listen().catch((error: unknown) => {
      this.place = undefined;
      throw new Failure('server_unreachable', String(error));
    });
    return this.place;
  }

  private async listen(): Promise<Place> {
    // Only here is more needed of Express than its types.
    const { default: express } = await import('express');
    const app = express().disable('x-powered-by');
    app.use((req, res, next) => {
      this.present(req, res, this.admitted.get(req));
      // Express 5 minds a promise that it returns.
      return this.handler(req, res, next);
    });
    const server = createServer((req, res) => {
      const ticket = req.headers[TICKET];
      const outgoing = typeof ticket === 'string' ? this.tickets.get(ticket) : undefined;
      if (outgoing === undefined || typeof ticket !== 'string') {
        req.socket.destroy();
        return;
      }
      this.tickets.delete(ticket);
      withoutTicket(req);
      this.admit(req, outgoing)
        .then(() => {
          app(req, res);
        })
        .catch(() => req.destroy()); // it broke off
    });
    // It is our own connections that come here, and they stay as long as we want.
    Object.assign(server, { keepAliveTimeout: 0, requestTimeout: 0, headersTimeout: 0 });
    server.listen(0, '127.0.0.1').unref();
    await once(server, 'listening');
    server.on('error', () => undefined); // a connection that could not be accepted: whoever made it hears of it
    return { server, port: (server.address() as AddressInfo).port };
  }

  /** Before Express looks at it: where it came in, and its body, if a parser in front has read the client's. */
  private async admit(req: IncomingMessage, outgoing: Outgoing): Promise<void> {
    this.admitted.set(req, outgoing);
    const { originalUrl = '/', base = '', parsed = this.parsed } = outgoing.origin ?? {};
    const below = originalUrl.startsWith(base) ? originalUrl.slice(base.length) : originalUrl;
    const url = below.startsWith('/') ? below : `/${below}`;
    Object.assign(req, { originalUrl, baseUrl: base, url });
    if (req.method !== 'POST' || parsed === undefined) return;
    const bytes = await bytesOf(req);
    const body: unknown =
      parsed === 'raw'
        ? bytes
        : parsed === 'text'
          ? bytes.toString()
          : JSON.parse(bytes.toString());
    Object.assign(req, { body, _body: true });
  }

  /** As the application that this middleware is mounted in would. */
  private present(req: Request, res: Response, outgoing: Outgoing | undefined): void {
    const { express, authInfo } = outgoing?.origin ?? {};
    const app = express?.app ?? this.app;
    if (app !== undefined) {
      Object.setPrototypeOf(req, app.request);
      Object.setPrototypeOf(res, app.response);
    }
    if (express !== undefined) res.locals = express.locals;
    const all = { ...(authInfo !== undefined && { auth: authInfo }), ...express?.added };
    for (const [name, value] of Object.entries({ ...all, ...express?.seen })) {
      // Some have a getter in Express, which would look at this connection.
      const property = { value, writable: true, enumerable: true, configurable: true };
      Object.defineProperty(req, name, property);
    }
  }
}

function withoutTicket(req: IncomingMessage): void {
  Reflect.deleteProperty(req.headers, TICKET);
  const at = req.rawHeaders.findIndex((name, index) => index % 2 === 0 && name === TICKET);
  req.rawHeaders.splice(at, 2);
}

function bytesOf(req: IncomingMessage): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    req.on('data', (chunk: Buffer) => chunks.push(chunk));
    req.once('end', () => resolve(Buffer.concat(chunks)));
    req.once('error', reject);
  });
}
