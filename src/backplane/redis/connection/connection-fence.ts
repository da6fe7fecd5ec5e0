import type { Redis } from 'ioredis';

type Socket = Redis['stream'];

/** The connections of this node to one run of a server, by the ids that the server gave them. */
type Connections = Map<number, Socket>;

/** How many runs of server processes are remembered. Commands to an older run have arrived by now, or are lost. */
const MOST_RUNS = 100;

/**
 * Keeps a late command from taking effect. The kernel goes on sending what was written to a connection that this node has
 * given up. It may reach Redis after the commands of a newer connection, which undid or repeated it.
 *
 * So a new connection first ends the older ones to the same server with `CLIENT KILL`. The server then drops their waiting
 * commands and refuses later ones. No script is sent over a connection before that. The connection's own id must be known
 * too, so that the next connection can end it.
 */
export class ConnectionFence {
  /** The connections by the server's `run_id`, because a restarted server counts its connections anew. */
  private readonly runs = new Map<string, Connections>();
  private readonly passed = new WeakMap<object, Connections>();

  /** True if scripts may be sent over this connection. */
  isPassed(socket: object): boolean {
    const connections = this.passed.get(socket);
    if (connections === undefined) return false;
    // Another connection to the same server may have ended since, with commands on their way.
    for (const other of connections.values()) {
      if (other !== socket && hasEnded(other)) return false;
    }
    return true;
  }

  /**
   * Lets scripts pass over the server's current connection, which has this id. Rejects if the server refuses to end older
   * ones, for now or because this user may not do so.
   */
  async pass(server: Redis, socket: Socket, runId: string, id: number): Promise<void> {
    const connections = this.connectionsTo(runId);
    connections.set(id, socket);
    const ended = [...connections].filter(([, other]) => other !== socket && hasEnded(other));
    await Promise.all(ended.map(([old]) => server.call('CLIENT', 'KILL', 'ID', `${old}`)));
    for (const [old] of ended) connections.delete(old);
    this.passed.set(socket, connections);
  }

  /** Lets scripts pass over a connection to a server where older ones cannot be ended. */
  passUnfenced(socket: Socket): void {
    this.passed.set(socket, new Map());
  }

  private connectionsTo(runId: string): Connections {
    const known = this.runs.get(runId) ?? new Map<number, Socket>();
    this.runs.delete(runId);
    this.runs.set(runId, known);
    const [oldest] = this.runs.keys();
    if (oldest !== undefined && this.runs.size > MOST_RUNS) this.runs.delete(oldest);
    return known;
  }
}

/** True if nothing more is written to the connection. */
function hasEnded(socket: Socket): boolean {
  return socket.destroyed || socket.writableEnded;
}
