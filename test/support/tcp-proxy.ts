import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { Flow } from './flow.js';

export type Direction = 'client→server' | 'server→client';

export interface TcpProxy {
  port: number;
  /** How many connections are open. */
  readonly connections: number;
  /** Destroys all open connections. New connections are accepted. */
  cut: () => void;
  /** Forwards nothing in either direction, but keeps all connections open, new ones included. Nothing is lost. */
  stall: () => void;
  resume: () => void;
  /** Delays all data in both directions by `ms`. With 0, the delay ends. */
  delay: (ms: number) => void;
  /**
   * Swallows all data in one direction. The default is `server→client`, which swallows every reply. The connections stay
   * open, and the swallowed data are lost.
   */
  mute: (direction?: Direction) => void;
  unmute: () => void;
  /** Resets every new connection, as if no server were running. Open connections stay. */
  refuse: () => void;
  accept: () => void;
  /** Connects new connections to this port from now on. Open connections stay as they are, as after a failover. */
  retarget: (port: number) => void;
  /**
   * Forwards the next data of a client. When the server has carried them out, it cuts that connection before a byte of the
   * reply is back. So the client cannot know whether its commands were carried out.
   *
   * `which` chooses the data: the first data that match, or the nth chunk from now on. Resolves when the connection is cut.
   */
  cutBeforeReply: (which?: number | ((data: Buffer) => boolean)) => Promise<void>;
  /** Cuts all connections and frees the port. */
  stop: () => Promise<void>;
}

interface Link {
  client: Socket;
  server: Socket;
  up: Flow;
  down: Flow;
  /** True while `cutBeforeReply` handles this connection. Faults for all connections do not apply to it then. */
  trapped: boolean;
}

interface Trap {
  springs: (data: Buffer) => boolean;
  done: () => void;
}

/** Starts a proxy between a client and a server, such as a node and its Redis, which can make the network fail. */
export async function startTcpProxy(options: {
  target: { host?: string; port: number };
}): Promise<TcpProxy> {
  const { host = '127.0.0.1' } = options.target;
  let { port } = options.target;
  const links = new Set<Link>();
  let traps: Trap[] = [];
  const state = { stalled: false, delayMs: 0, muted: undefined as Direction | undefined };
  let refusing = false;

  const apply = ({ up, down, trapped }: Link): void => {
    if (trapped) return;
    for (const flow of [up, down]) flow.set({ stalled: state.stalled, delayMs: state.delayMs });
    up.set({ muted: state.muted === 'client→server' });
    down.set({ muted: state.muted === 'server→client' });
  };
  const change = (to: Partial<typeof state>): void => {
    Object.assign(state, to);
    for (const link of links) apply(link);
  };

  const listener = createServer({ noDelay: true, allowHalfOpen: true }, (client) => {
    if (refusing) {
      client.resetAndDestroy();
      return;
    }
    const server = connect({ host, port, noDelay: true, allowHalfOpen: true });
    const link: Link = {
      client,
      server,
      up: new Flow(client, server),
      down: new Flow(server, client),
      trapped: false,
    };
    links.add(link);
    apply(link);
    link.up.onData = (data) => {
      const trap = traps.find(({ springs }) => springs(data));
      if (trap === undefined) return;
      traps = traps.filter((other) => other !== trap);
      springTrap(link, trap.done);
    };
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

  const cut = (): void => {
    for (const { client } of links) client.destroy();
  };
  return {
    port: (listener.address() as AddressInfo).port,
    get connections() {
      return links.size;
    },
    cut,
    stall: () => change({ stalled: true }),
    resume: () => change({ stalled: false }),
    delay: (ms) => change({ delayMs: ms }),
    mute: (direction = 'server→client') => change({ muted: direction }),
    unmute: () => change({ muted: undefined }),
    refuse: () => void (refusing = true),
    accept: () => void (refusing = false),
    retarget: (to) => void (port = to),
    cutBeforeReply: (which = 1) => {
      let left = typeof which === 'number' ? which : 0;
      const springs = typeof which === 'number' ? () => --left === 0 : which;
      return new Promise((resolve) => void traps.push({ springs, done: resolve }));
    },
    stop: async () => {
      const closed = once(listener, 'close');
      listener.close();
      cut();
      await closed;
    },
  };
}

/**
 * Cuts a connection after the server has carried out its commands. The first bytes of a reply show that the server is at
 * work. Then the proxy ends the input of the server: Redis carries out everything before the end of its input, and then
 * closes the connection.
 */
function springTrap(link: Link, done: () => void): void {
  const { client, server, up, down } = link;
  link.trapped = true;
  down.set({ muted: true });
  down.onData = () => up.end();
  server.once('close', () => {
    client.destroy();
    done();
  });
}
