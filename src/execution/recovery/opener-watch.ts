import type { Streams } from '../../backplane/backplane.js';
import { pause } from '../../protocol/timing/backoff.js';
import type { Clock } from '../../protocol/timing/clock.js';
import { LogLimit } from '../../protocol/log-limit.js';
import { RepeatedLook } from '../../protocol/timing/repeated-look.js';
import type { Follower } from '../../stream/followers/follower.js';
import type { NodeWatch } from '../../stream/node-watch.js';
import { LOOK_EVERY_MS } from '../../stream/node-watch.js';

/** How often the node checks whether a connection may end. */
const DRAIN_CHECK_MS = 200;
/**
 * How many looks pass at most between two questions to living nodes about the same client. The first pauses are shorter.
 * This node asks after a failover, which may also have interrupted the subscription of the node that it asks.
 */
const MOST_LOOKS_BETWEEN = 10;
/** If more time passes between two looks, a dead node may have been alive in between. */
const MOST_BETWEEN_LOOKS_MS = 3 * LOOK_EVERY_MS;
/**
 * How long a node has to be dead before it is forgotten. It may only have been paused. When it goes on, it notices that its
 * lease is over, and tells this node again that it has requests of the client. A node whose lease Redis has lost does not
 * notice that at once. But it renews its lease long before this time is over, and is not dead any more.
 */
const FORGET_MS = 600_000;
/** How many connections follow requests of a dead node at a time. */
const AT_ONCE = 16;

export interface OpenerWatchOptions {
  backplane: Streams;
  watch: NodeWatch;
  clock: Clock;
  logger: { warn(message: string): void };
}

interface Connection {
  /** The nodes that have received requests of this connection's client. A dead node stays here for `FORGET_MS`. */
  nodes: Set<string>;
  /**
   * Those of `nodes` whose requests this connection has followed, and that have been dead ever since then: by node the time, by
   * `clock.elapsed()`.
   */
  followed: Map<string, number>;
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
  private readonly looks: RepeatedLook;
  private readonly limit: LogLimit;
  /** When the last look ended, by `clock.elapsed()`. */
  private lookedAt = 0;

  constructor(private readonly options: OpenerWatchOptions) {
    this.limit = new LogLimit(options.clock);
    this.looks = new RepeatedLook(options.clock, {
      everyMs: () => LOOK_EVERY_MS,
      isNeeded: () => [...this.connections.values()].some(isWatched),
      look: () => this.look(),
    });
  }

  /** Looks after the client of a connection until `remove` is called. */
  add(follower: Follower, takeOver: Connection['takeOver']): void {
    this.connections.set(follower, {
      ...{
        nodes: new Set(),
        followed: new Map(),
        looksToCheck: undefined,
        looksBetween: 1,
        takeOver,
      },
    });
  }

  remove(follower: Follower): void {
    this.connections.delete(follower);
  }

  /** Notes that a node has received requests of this connection's client. */
  note(follower: Follower, nodeId: string): void {
    const connection = this.connections.get(follower);
    connection?.nodes.add(nodeId);
    // The requests are new. If the node was dead before, and dies again before a look sees it alive, they must be followed, too.
    connection?.followed.delete(nodeId);
    this.looks.schedule();
  }

  /**
   * Follows all open requests of this connection's client. A failover may have lost an answer that the receiving node had
   * seen already, so that no node waits for the end of that request.
   */
  check(follower: Follower): void {
    const connection = this.connections.get(follower);
    if (connection === undefined || this.looks.isClosed) return;
    connection.looksBetween = 1;
    void this.takeOver(connection, undefined).finally(() => this.looks.schedule());
  }

  /** Ends each connection as soon as its client has no open request on any node. The node calls this before it closes. */
  async drain(): Promise<void> {
    await Promise.all([...this.connections.keys()].map((follower) => this.endWhenIdle(follower)));
  }

  close(): void {
    this.looks.close();
    this.connections.clear();
  }

  private async endWhenIdle(follower: Follower): Promise<void> {
    const { backplane, clock } = this.options;
    while (!follower.ended && !this.looks.isClosed) {
      const open = await backplane.openStreams(follower.sessionId).catch(() => undefined);
      if (open?.length === 0) follower.end('hangup');
      else await pause(DRAIN_CHECK_MS, clock);
    }
  }

  private async look(): Promise<void> {
    const due = [...this.connections.values()].filter(isDue);
    await this.takeOverAll(due.map((connection) => ({ connection, nodeId: undefined })));
    const nodes = [...this.connections.values()].flatMap((connection) => [...connection.nodes]);
    if (nodes.length === 0) return;
    const dead = await this.options.watch.findDead(nodes);
    // After a long pause between looks, a node may have been back meanwhile, and be dead again.
    const now = this.options.clock.elapsed();
    const isLate = now - this.lookedAt > MOST_BETWEEN_LOOKS_MS;
    this.lookedAt = now;
    for (const { nodes, followed } of this.connections.values()) {
      for (const [nodeId, since] of followed) {
        if (isLate || !dead.has(nodeId)) followed.delete(nodeId);
        else if (now - since > FORGET_MS) {
          followed.delete(nodeId);
          nodes.delete(nodeId);
        }
      }
    }
    if (dead.size === 0) return;
    await this.takeOverAll(
      [...this.connections.values()].flatMap((connection) =>
        [...connection.nodes]
          .filter((nodeId) => dead.has(nodeId) && !connection.followed.has(nodeId))
          .map((nodeId) => ({ connection, nodeId })),
      ),
    );
  }

  private async takeOverAll(
    all: { connection: Connection; nodeId: string | undefined }[],
  ): Promise<void> {
    for (let at = 0; at < all.length && !this.looks.isClosed; at += AT_ONCE) {
      const some = all.slice(at, at + AT_ONCE);
      await Promise.all(some.map(({ connection, nodeId }) => this.takeOver(connection, nodeId)));
    }
  }

  /** Calls `takeOver` of the connection. A failure is logged, and the next look tries again. Never rejects. */
  private async takeOver(connection: Connection, nodeId: string | undefined): Promise<void> {
    const isForAll = nodeId === undefined;
    try {
      // Clear the mark before the call, because an earlier call may still succeed or fail during this one.
      if (isForAll) connection.looksToCheck = undefined;
      const hasAsked = await connection.takeOver(nodeId);
      if (!isForAll) connection.followed.set(nodeId, this.options.clock.elapsed());
      else if (hasAsked) checkLater(connection);
    } catch (error) {
      if (isForAll) connection.looksToCheck = 1;
      this.limit.pass('take over', (more) => {
        this.options.logger.warn(
          `mcp-anynode: requests have to wait for their end: ${String(error)}${more}`,
        );
      });
    }
  }
}

/** True if a look has to do something for the connection, now or later. */
function isWatched({ nodes, looksToCheck }: Connection): boolean {
  return nodes.size > 0 || looksToCheck !== undefined;
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
