import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

/** A client's connection through the proxy, and what the proxy holds back of it. */
interface Link {
  client: Socket;
  server: Socket;
  held: Buffer[];
  isHeld: boolean;
  subscribes: boolean;
}

/** A proxy in front of a Redis. It acts as a network that drops packets for a while. */
export interface LateProxy {
  readonly port: number;
  /** Loses the packets of the command connections that are open now. Connections that subscribe are not affected. */
  drop(): void;
  /**
   * Lets the data of these connections arrive after all, although the client has closed them: the kernel transmits again
   * what it had accepted. Resolves when the server has handled them.
   */
  arrive(): Promise<void>;
  stop(): void;
}

/**
 * Sends what the proxy held back of one connection, and closes it. A server that has gone meanwhile takes nothing any more:
 * it was killed, or an earlier call has sent everything.
 */
async function deliver({ server, held }: Link): Promise<void> {
  if (server.destroyed) return;
  // `once` of `node:events` would reject if the server is killed while it reads. After such an error, `close` comes too.
  const closed = new Promise((resolve) => server.once('close', resolve));
  if (!server.writableEnded) {
    for (const bytes of held.splice(0)) server.write(bytes);
    server.end();
  }
  await closed;
}

export async function startLateProxy(port: number): Promise<LateProxy> {
  const links = new Set<Link>();
  const listener = createServer({ noDelay: true, allowHalfOpen: true }, (client) => {
    const server = connect({ port, host: '127.0.0.1', noDelay: true, allowHalfOpen: true });
    const link: Link = { client, server, held: [], isHeld: false, subscribes: false };
    links.add(link);
    client.on('error', () => undefined);
    server.on('error', () => undefined);
    client.on('data', (data) => {
      link.subscribes ||= data.includes('subscribe\r\n');
      if (link.isHeld) link.held.push(data);
      else server.write(data);
    });
    client.on('end', () => client.end());
    client.on('close', () => {
      if (!link.isHeld) server.end();
    });
    server.on('data', (data) => {
      if (!link.isHeld) client.write(data);
    });
    server.on('end', () => server.end());
    server.on('close', () => {
      client.destroy();
      links.delete(link);
    });
  });
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  return {
    port: (listener.address() as AddressInfo).port,
    drop() {
      for (const link of links) link.isHeld ||= !link.subscribes;
    },
    async arrive() {
      const held = [...links].filter(({ isHeld }) => isHeld);
      await Promise.all(held.map(deliver));
    },
    stop() {
      listener.close();
      for (const { client, server } of links) {
        client.destroy();
        server.destroy();
      }
    },
  };
}
