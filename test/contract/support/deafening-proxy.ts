import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

export interface DeafeningProxy {
  port: number;
  /** From now on, connections that have subscribed get nothing more, but stay open. */
  deafen(): void;
  stop(): Promise<void>;
}

/**
 * Stands between a node and its Redis. It can make the subscriber of the node deaf while commands go through, which
 * happens after some failovers.
 */
export async function startDeafeningProxy(port: number): Promise<DeafeningProxy> {
  const sockets = new Set<Socket>();
  const subscribers = new Set<{ deaf: boolean }>();
  const listener = createServer((client) => {
    const server = connect(port, '127.0.0.1');
    const link = { deaf: false };
    client.on('data', (data) => {
      if (/\bsubscribe\b/i.test(data.toString())) subscribers.add(link);
      server.write(data);
    });
    server.on('data', (data) => {
      if (!link.deaf) client.write(data);
    });
    for (const socket of [client, server]) {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.once('close', () => {
        subscribers.delete(link);
        sockets.delete(socket);
        client.destroy();
        server.destroy();
      });
    }
  });
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  return {
    port: (listener.address() as AddressInfo).port,
    deafen: () => {
      for (const link of subscribers) link.deaf = true;
    },
    stop: async () => {
      const closed = once(listener, 'close');
      listener.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}
