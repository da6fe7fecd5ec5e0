/** A server that can be taken away, and brought back on the same port. */
import { once } from 'node:events';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { onTestFinished } from 'vitest';

export interface Fallible {
  url: string;
  server: Server;
  /** Breaks all connections and takes no more. */
  kill: () => Promise<void>;
  /** Takes connections again, on the same port. */
  restart: (app: RequestListener) => Promise<void>;
}

export async function fallible(app: RequestListener, on = 0): Promise<Fallible> {
  let server = createServer(app).listen(on, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const kill = async (): Promise<void> => {
    if (!server.listening) return;
    const closed = once(server, 'close');
    server.close();
    server.closeAllConnections();
    await closed;
  };
  onTestFinished(kill);
  return {
    url: `http://127.0.0.1:${port}/mcp`,
    server,
    kill,
    async restart(next) {
      server = createServer(next).listen(port, '127.0.0.1');
      await once(server, 'listening');
    },
  };
}
