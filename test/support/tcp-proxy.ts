import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { Flow } from './flow.js';

export type Direction = 'client→server' | 'server→client';

export interface TcpProxy {
  port: number;
  /** How many connections are open. */
  readonly connections: number;
  /** Destroys all open connections; new ones are let in. */
  cut: () => void;
  /** Forwards nothing in either direction, on new connections too, but keeps them open. Nothing is lost. */
  stall: () => void;
  resume: () => void;
  /** Holds all that is sent, in either direction, back by `ms`; 0 ends it. */
  delay: (ms: number) => void;
  /**
   * Swallows all that is sent in one direction, or with `server→client`, the default, every reply.
   * The connections stay open, and what was swallowed is lost.
   */
  mute: (direction?: Direction) => void;
  unmute: () => void;
  /** Resets every new connection, as a server does that is not there; open ones stay. */
  refuse: () => void;
  accept: () => void;
  /** New connections go to this port from now on; open ones stay where they are, as after a failover. */
  retarget: (port: number) => void;
  /**
   * Forwards the next data of a client, and cuts that connection when the server has carried it out, before a byte of
   * the reply is back: the client can't know whether it was done.
   *
   * `which` picks the data: those that it matches, or the nth chunk from now on. Resolves when the connection is cut.
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
  /** In a trap: what happens to the others does not happen to it. */
  trapped: boolean;
}

interface Trap {
  springs: (data: Buffer) => boolean;
  done: () => void;
}

/** Stands between a client and a server, such as a node and its Redis, and makes the network fail as networks do. */
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
 * The first bytes of a reply show that the server is at work on what it got. Then its side is closed for writing: a
 * server like Redis carries out all that came before the end of its input, and only then hangs up.
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
