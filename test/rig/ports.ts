import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';

/**
 * Returns a TCP port of the loopback interface that was free a moment ago.
 *
 * Another process may take the port before the caller does. The caller then tries again with another port.
 */
export async function freePort(): Promise<number> {
  return occupy(0);
}

/**
 * Returns a free port for which the port at `offset` is free too: a server of a Redis Cluster also listens on its port +
 * 10,000. Throws after 100 attempts.
 */
export async function freePortWithNeighbour(offset: number): Promise<number> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const port = await freePort();
    if (port + offset > 65_535) continue;
    const neighbour = await occupy(port + offset).catch(() => undefined);
    if (neighbour !== undefined) return port;
  }
  throw new Error(`No two free ports at a distance of ${offset}`);
}

/** Listens for an instant and returns the port. Rejects with `EADDRINUSE` if the port is taken. */
async function occupy(port: number): Promise<number> {
  const server = createServer();
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address() as AddressInfo;
  const closed = once(server, 'close');
  server.close();
  await closed;
  return address.port;
}
