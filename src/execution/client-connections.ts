import type { AttachReply, AttachRequest, Position } from '../backplane/backplane.js';
import { LOG_START, STANDALONE } from '../backplane/backplane.js';
import type { ConnectionTakeovers } from '../stream/connection-takeovers.js';
import type { FollowerNode, Sink } from '../stream/follower.js';
import { Follower } from '../stream/follower.js';
import type { Claim } from '../stream/followers.js';
import type { HangUps } from '../stream/hang-ups.js';
import type { NodeContext } from '../stream/node-context.js';
import type { OpenedStreams } from '../stream/opened-streams.js';
import type { NodeWatch } from '../stream/node-watch.js';
import type { OpenerWatch } from './recovery/opener-watch.js';

/**
 * How long a node remembers where an ended connection came to, after the backplane knows: a successor that attached
 * before may only now ask for it. It may have learnt of its successor before that one asked, too.
 */
const REMEMBERED_MS = 1000;

/** Of the log, what is looked at before a response is begun. */
const PAGE_BYTES = 64 * 1024;

export type Attached = Extract<AttachReply, { status: 'attached' }>;

/** A stream of a session, and the token of the connection that holds it. */
export interface HeldStream {
  sessionId: string;
  name: string;
  token: string;
  /** The connection shows what is after this. */
  position: Position;
}

export interface ClientConnectionsParts {
  watch: NodeWatch;
  takeovers: ConnectionTakeovers;
  hangUps: HangUps;
  names: OpenedStreams;
  /** Looks after requests of clients of HTTP+SSE. */
  openers: OpenerWatch;
  /** Called each time that a connection has shown something. */
  onMove: (follower: Follower) => void;
}

/** Connects clients of this node to streams: as the holder of a stream in the backplane, and as its follower here. */
export class ClientConnections {
  private readonly followerNode: FollowerNode;

  constructor(
    private readonly node: NodeContext,
    private readonly parts: ClientConnectionsParts,
  ) {
    const { membership, clock } = node;
    const { watch, onMove } = parts;
    this.followerNode = { membership, clock, onMove, isAlive: (id) => watch.isAlive(id) };
  }

  get openers(): OpenerWatch {
    return this.parts.openers;
  }

  /** A name for a stream, or a token for a connection, that no node gives again. */
  nextName(): string {
    return this.parts.names.nextName();
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
  expect(token: string): Claim {
    return this.node.followers.expect(token);
  }

  /** Whether a connection's node is another one than this, and lives. */
  async isOfLivingNode(nodeId: string): Promise<boolean> {
    return nodeId !== this.node.nodeId && (await this.parts.watch.isAlive(nodeId));
  }

  /** Makes a connection the holder of its stream. A holder whose node is dead, or which does not exist, is in no one's way. */
  async attach(request: AttachRequest): Promise<AttachReply> {
    const reply = await this.attachOnce(request);
    if (reply.status !== 'conflict') return reply;
    const { holder } = reply;
    const { nodeId: holdingNode, token } = holder;
    const { sessionId, stream } = request;
    const { watch, takeovers } = this.parts;
    const lookedAt = (await watch.isDead(holdingNode))
      ? await watch.momentOfDeath(sessionId, holdingNode)
      : undefined;
    if (lookedAt !== undefined) {
      return this.attachOnce({ ...request, deadHolder: holder, lookedAt });
    }
    const isDoubtful = await takeovers.doubt(holdingNode, { sessionId, stream, token });
    return isDoubtful ? this.attachOnce(request) : reply;
  }

  /** The claim may be carried out though its answer did not come in time. Then there never was such a connection. */
  private async attachOnce(request: AttachRequest): Promise<AttachReply> {
    try {
      return await this.node.membership.attach(request);
    } catch (error) {
      const { sessionId, stream, token } = request;
      const position = { n: 0, logId: LOG_START };
      const undo = { type: 'detach' as const, stream, token, position, neverUsed: true };
      this.node.commitQueue.append(sessionId, [undo], true).catch(() => undefined); // closed: a dead node's claim counts for nothing
      throw error;
    }
  }

  /**
   * Ends the connection that held the stream, and finds out where to go on: at the client's cursor, else after what that
   * connection has written. One that does not answer may be dead: then its last reported position counts.
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
   * What the log has of an ended stream after the client's cursor: something to show, nothing that would be shown (questions
   * that nobody would hear the answer to, and the end), or no entry at all, since the log has been trimmed.
   */
  async restOf(
    { sessionId, stream }: AttachRequest,
    { executor, position }: Attached,
  ): Promise<'shown' | 'silent' | 'trimmed'> {
    if (stream === STANDALONE || executor !== undefined) return 'shown';
    let isEmpty = true;
    for (let after = position; ;) {
      const page = await this.node.membership.read({
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
   * Puts a follower behind a connection and registers it on this node. The backplane knows the connection as the stream's
   * holder already. When the connection ends before the stream does, the claim is given up, with the position reached.
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
        // Nothing to give up: the stream or the session is over, or another connection holds the stream.
        if (reason === 'gone') node.notices.ended(ended.sessionId);
        if (reason === 'complete' || reason === 'gone') return;
        const left = node.followers.leave(ended);
        const forget = (): void => void node.clock.after(REMEMBERED_MS, left);
        if (reason === 'replaced') {
          forget();
          return;
        }
        const { sessionId, stream: name, token, position } = ended;
        node.commitQueue
          .append(sessionId, [{ type: 'detach', stream: name, token, position }], true)
          .catch(() => undefined) // this node closes: a claim of a dead node counts for nothing
          .finally(forget);
      },
    });
    node.followers.add(follower);
    return follower;
  }
}
