import { once } from 'node:events';
import {
  createServer,
  get,
  request,
  type IncomingMessage,
  type RequestOptions,
  type Server,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';

/** The header that marks responses of the balancer itself. */
export const BALANCER_HEADER = 'x-balancer';

interface Upstream {
  port: number;
  ready: boolean;
}

/**
 * A round-robin balancer without affinity. It does what nginx and similar balancers do while nodes come and go:
 *
 * - it asks `/ready` of each node every `probeMs`, and sends nothing to a node that is not ready, as long as another one
 *   is;
 * - it passes over a node that refuses the connection (`proxy_next_upstream error` for requests that were not sent yet);
 * - it never sends a request twice. If the node ends without an answer, the client gets 502.
 */
export class Balancer {
  readonly url: string;
  private upstreams: Upstream[] = [];
  private turn = 0;
  private readonly timer: NodeJS.Timeout;

  private constructor(
    private readonly server: Server,
    probeMs: number,
  ) {
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    this.timer = setInterval(() => {
      for (const upstream of this.upstreams) probe(upstream, probeMs * 5);
    }, probeMs);
  }

  static async start(probeMs = 100): Promise<Balancer> {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const balancer = new Balancer(server, probeMs);
    server.on('request', (req: IncomingMessage, res: ServerResponse) => {
      balancer.handle(req, res).catch(() => res.destroy());
    });
    return balancer;
  }

  add(port: number): void {
    this.upstreams.push({ port, ready: true });
  }

  remove(port: number): void {
    this.upstreams = this.upstreams.filter((upstream) => upstream.port !== port);
  }

  async stop(): Promise<void> {
    clearInterval(this.timer);
    const closed = once(this.server, 'close');
    this.server.close();
    this.server.closeAllConnections();
    await closed;
  }

  /** Returns the nodes in the order in which they are tried. */
  private candidates(): Upstream[] {
    const ready = this.upstreams.filter((upstream) => upstream.ready);
    const usable = ready.length > 0 ? ready : this.upstreams;
    const first = this.turn++ % Math.max(usable.length, 1);
    return [...usable.slice(first), ...usable.slice(0, first)];
  }

  private async handle(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const body = await buffer(req);
    for (const { port } of this.candidates()) {
      if (res.destroyed) return;
      if ((await forward(port, req, res, body)) === 'taken') return;
    }
    res.writeHead(502, { [BALANCER_HEADER]: 'no node' }).end();
  }
}

function probe(upstream: Upstream, timeoutMs: number): void {
  const { port } = upstream;
  const options: RequestOptions = { host: '127.0.0.1', port, path: '/ready', agent: false };
  const asked = get({ ...options, timeout: timeoutMs }, (answer) => {
    upstream.ready = answer.statusCode === 200;
    answer.resume();
    answer.on('error', () => undefined);
  });
  asked.on('timeout', () => asked.destroy());
  asked.on('error', () => (upstream.ready = false));
}

function forward(
  port: number,
  req: IncomingMessage,
  res: ServerResponse,
  body: Buffer,
): Promise<'taken' | 'refused'> {
  const { method, url, headers } = req;
  return new Promise((resolve) => {
    const target = { host: '127.0.0.1', port, method, path: url, headers, agent: false };
    const outgoing = request(target);
    let connected = false;
    outgoing.once('socket', (socket) =>
      socket.once('connect', () => {
        connected = true;
        resolve('taken');
      }),
    );
    outgoing.on('response', (incoming) => {
      res.writeHead(incoming.statusCode ?? 502, incoming.headers);
      res.flushHeaders();
      incoming.pipe(res);
      incoming.on('error', () => res.destroy());
    });
    outgoing.on('error', () => {
      if (!connected) resolve('refused');
      else if (res.headersSent) res.destroy();
      else res.writeHead(502, { [BALANCER_HEADER]: 'no answer' }).end();
    });
    res.on('close', () => outgoing.destroy());
    outgoing.end(body);
  });
}
