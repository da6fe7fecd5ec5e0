import type { Streams } from '../../backplane/backplane.js';
import { pause } from '../../protocol/backoff.js';
import type { Clock } from '../../protocol/clock.js';
import type { Follower } from '../../stream/followers/follower.js';
import type { NodeWatch } from '../../stream/node-watch.js';
import { LOOK_EVERY_MS } from '../../stream/node-watch.js';

/** How often the node checks whether a connection may end. */
const DRAIN_CHECK_MS = 200;
/**
 * How many looks pass at most between two questions to living nodes about the same client. The first pauses are shorter,
 * because a failover, which is why this node asks, interrupts the subscription of the node that is asked as well.
 */
const MOST_LOOKS_BETWEEN = 10;

export interface OpenerWatchOptions {
  backplane: Streams;
  watch: NodeWatch;
  clock: Clock;
  logger: { warn(message: string): void };
}

interface Connection {
  /** The nodes that have received requests of this connection's client. */
  nodes: Set<string>;
  /**
   * After how many looks this connection has to follow all open requests of its client, or `undefined` if it does not have to.
   */
  looksToCheck: number | undefined;
  /** How many looks pass between the last question to another node and the next one. */
  looksBetween: number;
  /**
   * Follows the client's requests that came to `nodeId`. With `undefined` it follows all that this node does not follow yet,
   * and asks living nodes whether they still run theirs. Resolves with true if it has asked. Such a question may be lost.
   */
  takeOver(nodeId: string | undefined): Promise<boolean>;
}

/**
 * Looks after the nodes that receive requests of HTTP+SSE clients whose one connection is on this node. The node that
 * received a POST follows its stream without a connection, so that it looks after the executor. If that node dies, the node
 * with the client's connection follows the stream instead. As with {@link OrphanRecovery}, the cost depends on the number of
 * nodes, not of requests.
 */
export class OpenerWatch {
  private readonly connections = new Map<Follower, Connection>();
  private cancelCheck: (() => void) | undefined;
  private closed = false;

  constructor(private readonly options: OpenerWatchOptions) {}

  /** Looks after the client of a connection until `remove` is called. */
  add(follower: Follower, takeOver: Connection['takeOver']): void {
    this.connections.set(follower, {
      ...{ nodes: new Set(), looksToCheck: undefined, looksBetween: 1, takeOver },
    });
  }

  remove(follower: Follower): void {
    this.connections.delete(follower);
  }

  /** Notes that a node has received requests of this connection's client. */
  note(follower: Follower, nodeId: string): void {
    this.connections.get(follower)?.nodes.add(nodeId);
    this.schedule();
  }

  /**
   * Follows all open requests of this connection's client. A failover may have lost an answer that the receiving node had
   * seen already, so that no node waits for the end of that request.
   */
  check(follower: Follower): void {
    const connection = this.connections.get(follower);
    if (connection === undefined || this.closed) return;
    connection.looksBetween = 1;
    void this.takeOver(connection, undefined).finally(() => this.schedule());
  }

  /** Ends each connection as soon as its client has no open request on any node. The node calls this before it closes. */
  async drain(): Promise<void> {
    await Promise.all([...this.connections.keys()].map((follower) => this.endWhenIdle(follower)));
  }

  close(): void {
    this.closed = true;
    this.cancelCheck?.();
    this.connections.clear();
  }

  private async endWhenIdle(follower: Follower): Promise<void> {
    const { backplane, clock } = this.options;
    while (!follower.ended && !this.closed) {
      const open = await backplane.openStreams(follower.sessionId).catch(() => undefined);
      if (open?.length === 0) follower.end('hangup');
      else await pause(DRAIN_CHECK_MS, clock);
    }
  }

  private schedule(): void {
    const isNeeded = ({ nodes, looksToCheck }: Connection): boolean =>
      nodes.size > 0 || looksToCheck !== undefined;
    if (this.closed || this.cancelCheck !== undefined) return;
    if (![...this.connections.values()].some(isNeeded)) return;
    this.cancelCheck ??= this.options.clock.after(LOOK_EVERY_MS, () => {
      void this.look().finally(() => {
        this.cancelCheck = undefined;
        this.schedule();
      });
    });
  }

  private async look(): Promise<void> {
    await Promise.all(
      [...this.connections.values()]
        .filter((connection) => isDue(connection))
        .map((connection) => this.takeOver(connection, undefined)),
    );
    const nodes = [...this.connections.values()].flatMap((connection) => [...connection.nodes]);
    if (nodes.length === 0) return;
    const dead = await this.options.watch.findDead(nodes);
    if (dead.size === 0) return;
    await Promise.all(
      [...this.connections.values()].flatMap((connection) =>
        [...connection.nodes]
          .filter((nodeId) => dead.has(nodeId))
          .map((nodeId) => this.takeOver(connection, nodeId)),
      ),
    );
  }

  /** Calls `takeOver` of the connection. A failure is logged, and the next look tries again. Never rejects. */
  private async takeOver(connection: Connection, nodeId: string | undefined): Promise<void> {
    const isForAll = nodeId === undefined;
    try {
      // Clear the mark before the call, because an earlier call may still end, well or not, during this one.
      if (isForAll) connection.looksToCheck = undefined;
      const hasAsked = await connection.takeOver(nodeId);
      if (!isForAll) connection.nodes.delete(nodeId);
      else if (hasAsked) checkLater(connection);
    } catch (error) {
      if (isForAll) connection.looksToCheck = 1;
      this.options.logger.warn(
        `mcp-anynode: requests have to wait for their end: ${String(error)}`,
      );
    }
  }
}

/** Counts a look. Returns true if the connection has to follow all open requests of its client now. */
function isDue(connection: Connection): boolean {
  if (connection.looksToCheck === undefined) return false;
  connection.looksToCheck -= 1;
  return connection.looksToCheck <= 0;
}

function checkLater(connection: Connection): void {
  connection.looksToCheck = connection.looksBetween;
  connection.looksBetween = Math.min(connection.looksBetween * 2, MOST_LOOKS_BETWEEN);
}
