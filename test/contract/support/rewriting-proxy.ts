import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

export interface RewritingProxy {
  port: number;
  /** From now on, replies come as the server sends them. */
  stopRewriting(): void;
  cut(): void;
  stop(): Promise<void>;
}

/** Stands between a node and its Redis, and replaces one text in the replies by another one of the same length. */
export async function startRewritingProxy(
  port: number,
  from: string,
  to: string,
): Promise<RewritingProxy> {
  if (from.length !== to.length) throw new Error('Redis says how long its texts are');
  let rewriting = true;
  const sockets = new Set<Socket>();
  const listener = createServer((client) => {
    const server = connect(port, '127.0.0.1');
    client.pipe(server);
    server.on('data', (data) => {
      const text = data.toString('latin1');
      client.write(rewriting ? text.replaceAll(from, to) : text, 'latin1');
    });
    for (const socket of [client, server]) {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.once('close', () => {
        sockets.delete(socket);
        client.destroy();
        server.destroy();
      });
    }
  });
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const cut = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    port: (listener.address() as AddressInfo).port,
    stopRewriting: () => void (rewriting = false),
    cut,
    stop: async () => {
      const closed = once(listener, 'close');
      listener.close();
      cut();
      await closed;
    },
  };
}
