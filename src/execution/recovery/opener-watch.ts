import type { Streams } from '../../backplane/backplane.js';
import { pause } from '../../protocol/backoff.js';
import type { Clock } from '../../protocol/clock.js';
import type { Follower } from '../../stream/follower.js';
import type { NodeWatch } from '../../stream/node-watch.js';
import { LOOK_EVERY_MS } from '../../stream/node-watch.js';

/** How often a connection that is to end is asked whether it may. */
const DRAIN_CHECK_MS = 200;

export interface OpenerWatchOptions {
  membership: Streams;
  watch: NodeWatch;
  clock: Clock;
  logger: { warn(message: string): void };
}

interface Connection {
  /** The nodes that have had requests of its client. */
  nodes: Set<string>;
  /** Whether it is to follow all open requests, and has not done so yet. */
  isUnchecked: boolean;
  /** Follows the requests that this node has left; with `undefined`, all that this node does not follow yet. */
  takeOver(nodeId: string | undefined): Promise<void>;
}

/**
 * Looks after the nodes that take requests of a client whose one connection is here (HTTP+SSE). A request is followed by
 * the node that it was POSTed to, into nothing, so that somebody looks after its executor; should that node die, the one
 * that holds the connection follows the request instead. As with {@link OrphanRecovery}, nodes are looked at and not requests.
 */
export class OpenerWatch {
  private readonly connections = new Map<Follower, Connection>();
  private cancelCheck: (() => void) | undefined;
  private closed = false;

  constructor(private readonly options: OpenerWatchOptions) {}

  /** Until `remove`. */
  add(follower: Follower, takeOver: Connection['takeOver']): void {
    this.connections.set(follower, { nodes: new Set(), isUnchecked: false, takeOver });
  }

  remove(follower: Follower): void {
    this.connections.delete(follower);
  }

  /** A node has requests of this connection's client. */
  note(follower: Follower, nodeId: string): void {
    this.connections.get(follower)?.nodes.add(nodeId);
    this.schedule();
  }

  /**
   * Follows all open requests of this connection's client. The backplane may have lost an answer (a failover) that the node
   * had seen to which the request was POSTed, so that no node waits for it any more.
   */
  check(follower: Follower): void {
    const connection = this.connections.get(follower);
    if (connection === undefined || this.closed) return;
    void this.takeOver(connection, undefined).finally(() => this.schedule());
  }

  /** Before this node closes: ends each connection as soon as none of its client's requests is open, wherever it runs. */
  async drain(): Promise<void> {
    await Promise.all([...this.connections.keys()].map((follower) => this.endWhenIdle(follower)));
  }

  close(): void {
    this.closed = true;
    this.cancelCheck?.();
    this.connections.clear();
  }

  private async endWhenIdle(follower: Follower): Promise<void> {
    const { membership, clock } = this.options;
    while (!follower.ended && !this.closed) {
      const open = await membership.openStreams(follower.sessionId).catch(() => undefined);
      if (open?.length === 0) follower.end('hangup');
      else await pause(DRAIN_CHECK_MS, clock);
    }
  }

  private schedule(): void {
    const isNeeded = ({ nodes, isUnchecked }: Connection): boolean => nodes.size > 0 || isUnchecked;
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
        .filter(({ isUnchecked }) => isUnchecked)
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

  /** Never rejects. What fails is tried again at the next look. */
  private async takeOver(connection: Connection, nodeId: string | undefined): Promise<void> {
    try {
      // Before it begins: one that was begun earlier may fail, or end well, later.
      if (nodeId === undefined) connection.isUnchecked = false;
      await connection.takeOver(nodeId);
      if (nodeId !== undefined) connection.nodes.delete(nodeId);
    } catch (error) {
      connection.isUnchecked ||= nodeId === undefined;
      this.options.logger.warn(
        `mcp-anynode: requests have to wait for their end: ${String(error)}`,
      );
    }
  }
}
