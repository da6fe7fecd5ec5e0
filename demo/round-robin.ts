import { once } from 'node:events';
import { createServer, request, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface RoundRobin {
  port: number;
  url: string;
  stop: () => Promise<void>;
}

/**
 * A reverse proxy that knows nothing of sessions: each request goes to the next upstream.
 *
 * It streams both ways, and a client that goes away takes the request to the upstream with it, as nginx does: the
 * node must see that its listener is gone.
 */
export async function startRoundRobin(upstreams: readonly number[], port = 0): Promise<RoundRobin> {
  let turn = 0;
  const server = createServer((req, res) => {
    const upstream = upstreams[turn++ % upstreams.length];
    if (upstream === undefined) throw new Error('startRoundRobin() needs at least one port');
    forward(upstream, req, res);
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address() as AddressInfo;
  return {
    port: address.port,
    url: `http://127.0.0.1:${address.port}`,
    stop: async () => {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

function forward(port: number, req: IncomingMessage, res: ServerResponse): void {
  const { method, url, headers } = req;
  // No kept connections: a node may close an idle one at the very moment when the next request is written to it.
  const target = { host: '127.0.0.1', port, method, path: url, headers, agent: false };
  const outgoing = request(target);

  outgoing.on('response', (incoming) => {
    res.writeHead(incoming.statusCode ?? 502, incoming.headers);
    // Else the headers wait for the first byte of the body, which on an idle stream may be long in coming.
    res.flushHeaders();
    incoming.pipe(res);
    incoming.on('error', () => res.destroy());
  });
  outgoing.on('error', () => {
    if (res.headersSent) res.destroy();
    else res.writeHead(502).end();
  });
  res.on('close', () => outgoing.destroy());
  req.pipe(outgoing);
}
