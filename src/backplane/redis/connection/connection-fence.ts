import type { Redis } from 'ioredis';

type Socket = Redis['stream'];

/** The connections of this node to one run of a server, by the ids that the server gave them. */
type Connections = Map<number, Socket>;

/** Each run of a server leaves an entry behind. What was sent to one that ended so long ago has arrived or is lost. */
const MOST_RUNS = 100;

/**
 * Keeps a command that arrives late from taking effect. The kernel goes on sending what was written into a connection
 * that this node has given up. It may reach Redis after the commands of a newer connection, which undid or repeated it.
 * So a new connection first ends the older ones to the same server with `CLIENT KILL`. The server throws away what it had
 * not yet carried out of them, and refuses what arrives later. No script is sent over a connection before that, nor
 * before the connection's own id is known, which the next one has to end.
 */
export class ConnectionFence {
  /** By the server's `run_id`: a server that was started again counts its connections anew. */
  private readonly runs = new Map<string, Connections>();
  private readonly passed = new WeakMap<object, Connections>();

  /** Whether scripts may be sent over this connection. */
  isPassed(socket: object): boolean {
    const connections = this.passed.get(socket);
    if (connections === undefined) return false;
    // Of two connections to one server the other one may have ended since, with commands on their way.
    for (const other of connections.values()) {
      if (other !== socket && hasEnded(other)) return false;
    }
    return true;
  }

  /**
   * Lets scripts pass over the server's present connection, which has this id. Rejects when the server refuses to end
   * older ones: for now, or because this user may not.
   */
  async pass(server: Redis, socket: Socket, runId: string, id: number): Promise<void> {
    const connections = this.connectionsTo(runId);
    connections.set(id, socket);
    const ended = [...connections].filter(([, other]) => other !== socket && hasEnded(other));
    await Promise.all(ended.map(([old]) => server.call('CLIENT', 'KILL', 'ID', `${old}`)));
    for (const [old] of ended) connections.delete(old);
    this.passed.set(socket, connections);
  }

  /** Scripts may pass over a connection to a server where older ones cannot be ended. */
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

/** Nothing more is written into it. */
function hasEnded(socket: Socket): boolean {
  return socket.destroyed || socket.writableEnded;
}
