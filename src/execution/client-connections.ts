import type { AttachReply, AttachRequest, Position } from '../backplane/backplane.js';
import { LOG_START, STANDALONE } from '../backplane/backplane.js';
import type { ConnectionTakeovers } from '../stream/followers/connection-takeovers.js';
import type { FollowerNode, Sink } from '../stream/followers/follower.js';
import { Follower } from '../stream/followers/follower.js';
import type { ArrivingConnection } from '../stream/followers/followers.js';
import type { HangUps } from '../stream/hang-ups.js';
import type { NodeContext } from '../stream/node-context.js';
import type { OpenedStreams } from '../stream/opened-streams.js';
import type { NodeWatch } from '../stream/node-watch.js';
import type { OpenerWatch } from './recovery/opener-watch.js';

/**
 * How long a node remembers the last position of an ended connection, once the backplane has that position. A successor may
 * still ask this node for the position: it attached before the backplane had it, or this node learned of the successor
 * before the successor asked.
 */
const REMEMBERED_MS = 1000;

/** How many bytes of the log are read at a time before a response is begun. */
const PAGE_BYTES = 64 * 1024;

export type Attached = Extract<AttachReply, { status: 'attached' }>;

/** A stream of a session, and the token of the connection that holds it. */
export interface HeldStream {
  sessionId: string;
  name: string;
  token: string;
  /** The connection shows the messages after this position. */
  position: Position;
}

export interface ClientConnectionsParts {
  watch: NodeWatch;
  takeovers: ConnectionTakeovers;
  hangUps: HangUps;
  openedStreams: OpenedStreams;
  /** Looks after requests of HTTP+SSE clients. */
  openers: OpenerWatch;
  /** Called each time a connection has shown a message. */
  onMove: (follower: Follower) => void;
}

/**
 * Connects clients of this node to streams. A connection becomes the holder of its stream in the backplane, and gets a
 * follower on this node.
 */
export class ClientConnections {
  private readonly followerNode: FollowerNode;

  constructor(
    private readonly node: NodeContext,
    private readonly parts: ClientConnectionsParts,
  ) {
    const { backplane, clock } = node;
    const { watch, onMove } = parts;
    const { telemetry } = node;
    this.followerNode = {
      ...{ backplane, clock, onMove, isAlive: (id) => watch.isAlive(id) },
      onMissed: telemetry && (() => telemetry.count('wakeupsMissed')),
      onShown:
        telemetry?.hasMetrics === true
          ? ({ position }, path) => {
              const lag = clock.now() - Number.parseInt(position.logId, 10);
              telemetry.measure('deliveryLag', Math.max(0, lag), { path });
            }
          : undefined,
    };
  }

  get openers(): OpenerWatch {
    return this.parts.openers;
  }

  /** Makes a name for a stream or a token for a connection. No node makes the same one again. */
  nextName(): string {
    return this.parts.openedStreams.nextName();
  }

  /** See {@link HangUps.hangUp}. */
  hangUp(sessionId: string, stream: string): void {
    this.parts.hangUps.hangUp(sessionId, stream);
  }

  /** See {@link HangUps.hangUpHere}. */
  hangUpHere(sessionId: string, stream: string): void {
    this.parts.hangUps.hangUpHere(sessionId, stream);
  }

  /** See {@link Followers.expect}. */
  expect(token: string): ArrivingConnection {
    return this.node.followers.expect(token);
  }

  /** True if `nodeId` is another node than this one, and is alive. */
  async isOfLivingNode(nodeId: string): Promise<boolean> {
    return nodeId !== this.node.nodeId && (await this.parts.watch.isAlive(nodeId));
  }

  /**
   * Makes a connection the holder of its stream. An earlier holder does not prevent that if its node is dead or if that
   * connection no longer exists.
   */
  async attach(request: AttachRequest): Promise<AttachReply> {
    const reply = await this.attachOnce(request);
    if (reply.status !== 'conflict') return reply;
    const { holder } = reply;
    const { nodeId: holdingNode, token } = holder;
    const { sessionId, stream } = request;
    const { watch, takeovers } = this.parts;
    const lookedAt = (await watch.isDead(holdingNode))
      ? await watch.momentSeenDead(sessionId, holdingNode)
      : undefined;
    if (lookedAt !== undefined) {
      return this.attachOnce({ ...request, deadHolder: holder, lookedAt });
    }
    const isGivenUp = await takeovers.checkHolder(holdingNode, { sessionId, stream, token });
    return isGivenUp ? this.attachOnce(request) : reply;
  }

  /** Sends one `attach`. After a failure the backplane may have carried it out, so the claim is undone as never used. */
  private async attachOnce(request: AttachRequest): Promise<AttachReply> {
    try {
      return await this.node.backplane.attach(request);
    } catch (error) {
      const { sessionId, stream, token } = request;
      const position = { n: 0, logId: LOG_START };
      const undo = { type: 'detach' as const, stream, token, position, neverUsed: true };
      this.node.commitQueue.store(sessionId, [undo], true).catch(() => undefined); // this node has closed, so its claim does not count
      throw error;
    }
  }

  /**
   * Ends the connection that held the stream, and returns the position to go on from. That is the client's cursor, or else
   * the last position that the earlier connection wrote. If the earlier node does not answer in time, it may be dead, and
   * the last position it reported counts.
   */
  async takeOver(
    { sessionId, stream, cursor }: AttachRequest,
    { previous, position }: Attached,
  ): Promise<Position> {
    if (previous === undefined) return position;
    const { nodeId, token } = previous;
    const release = this.parts.takeovers.release(nodeId, { sessionId, stream, token });
    const reached = cursor === undefined ? await release : undefined;
    return cursor === undefined && reached !== undefined && reached.n > position.n
      ? reached
      : position;
  }

  /**
   * Says whether the log of a stream has something to show after the client's cursor.
   *
   * - `shown`: there is a message to show, or the stream has not ended.
   * - `silent`: there are only messages that would not be shown: the end of the stream, and questions of nodes that are
   *   dead.
   * - `trimmed`: there is no entry, because the log has been trimmed.
   */
  async restOf(
    { sessionId, stream }: AttachRequest,
    { executor, position }: Attached,
  ): Promise<'shown' | 'silent' | 'trimmed'> {
    if (stream === STANDALONE || executor !== undefined) return 'shown';
    let isEmpty = true;
    for (let after = position; ;) {
      const page = await this.node.backplane.read({
        ...{ sessionId, stream, after, maxBytes: PAGE_BYTES },
      });
      if (page.status !== 'ok' || page.open) return 'shown';
      for (const { message, asker } of page.events) {
        if (message === undefined) continue;
        if (asker === undefined || (await this.parts.watch.isAlive(asker))) return 'shown';
      }
      isEmpty &&= page.events.length === 0;
      if (!page.more) return isEmpty ? 'trimmed' : 'silent';
      const n = page.events.at(-1)?.position.n ?? after.n;
      after = { n, logId: page.scanned };
    }
  }

  /**
   * Creates the follower of a connection and registers it on this node. The connection is the holder of its stream in the
   * backplane already. If the connection ends before the stream does, its claim is given up with the last position.
   */
  follow(
    stream: HeldStream,
    sink: Sink,
    onEnd: (follower: Follower) => void = () => undefined,
  ): Follower {
    const { node } = this;
    const follower = new Follower({
      sessionId: stream.sessionId,
      stream: stream.name,
      token: stream.token,
      position: stream.position,
      sink,
      node: this.followerNode,
      onEnd: (ended, reason) => {
        node.followers.remove(ended);
        onEnd(ended);
        // There is no claim to give up if the stream or the session has ended, or if another connection holds the stream.
        if (reason === 'gone') node.notices.ended(ended.sessionId);
        if (reason === 'unknown') node.notices.executionLost(ended.sessionId, ended.stream);
        if (reason === 'complete' || reason === 'unknown' || reason === 'gone') return;
        const left = node.followers.leave(ended);
        const forget = (): void => void node.clock.after(REMEMBERED_MS, left);
        if (reason === 'replaced') {
          forget();
          return;
        }
        const { sessionId, stream: name, token, position } = ended;
        node.commitQueue
          .store(sessionId, [{ type: 'detach', stream: name, token, position }], true)
          .catch(() => undefined) // this node has closed, so its claim does not count
          .finally(forget);
      },
    });
    node.followers.add(follower);
    return follower;
  }
}
