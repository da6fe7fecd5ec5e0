import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

export interface BusProxy {
  port: number;
  /** Throws away everything that this member of the cluster sends over this link from now on. The link stays open. */
  ignore(memberId: string): void;
  /** Ends the link and lets the cluster open a new one, which works. Messages that were sent before are lost. */
  listen(): void;
  stop(): Promise<void>;
}

/**
 * Stands in front of the bus port of one member of a Redis Cluster. The other members send wake-ups to it over this
 * port.
 */
export async function startBusProxy(port: number): Promise<BusProxy> {
  const links = new Set<{ sender: string; client: Socket; server: Socket }>();
  let ignored = '';
  const listener = createServer((client) => {
    const server = connect(port, '127.0.0.1');
    const link = { sender: '', client, server };
    links.add(link);
    client.on('data', (data) => {
      // Each message of the bus begins with a header that names its sender.
      link.sender ||= /[0-9a-f]{40}/.exec(data.toString('latin1'))?.[0] ?? '';
      if (ignored === '' || link.sender !== ignored) server.write(data);
    });
    server.on('data', (data) => client.write(data));
    for (const socket of [client, server]) {
      socket.on('error', () => undefined);
      socket.once('close', () => {
        links.delete(link);
        client.destroy();
        server.destroy();
      });
    }
  });
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  return {
    port: (listener.address() as AddressInfo).port,
    ignore: (memberId) => void (ignored = memberId),
    listen: () => {
      for (const { sender, client } of links) if (sender === ignored) client.destroy();
      ignored = '';
    },
    stop: async () => {
      const closed = once(listener, 'close');
      listener.close();
      for (const { client } of links) client.destroy();
      await closed;
    },
  };
}
