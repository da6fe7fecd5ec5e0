import type { NodeInboxes, NodeMessageOf, Position } from '../backplane/backplane.js';
import { LOG_START } from '../backplane/backplane.js';
import type { Clock } from '../protocol/clock.js';
import type { Followers } from './followers.js';
import type { CommitQueue } from './commit-queue.js';

/** How long the old holder may take to say how far it came: longer than a node under load needs, shorter than a client notices. */
const ANSWER_MS = 250;

/** How long a node may need to undo a claim, once it knows that nobody waits for it any more. */
const UNDO_MS = 1000;

/** A connection, as the one that holds a stream. */
interface Held {
  sessionId: string;
  stream: string;
  token: string;
}

/** Asking another node to give a stream up, and being asked. */
export class ConnectionTakeovers {
  private readonly waiting = new Map<string, (position: Position | undefined) => void>();
  private count = 0;

  constructor(
    private readonly nodeId: string,
    private readonly membership: NodeInboxes,
    private readonly followers: Followers,
    private readonly clock: Clock,
    private readonly commandTimeoutMs: number,
    private readonly commitQueue: Pick<CommitQueue, 'submit'>,
  ) {}

  /**
   * Has a connection ended, of this node or another one. Resolves with the last position that it wrote, or with
   * `undefined` when there is no such connection, or no answer in time. Never rejects.
   */
  async release(nodeId: string, held: Held): Promise<Position | undefined> {
    this.count += 1;
    const ref = `${this.count}`;
    return new Promise((resolve) => {
      const cancelTimer = this.clock.after(ANSWER_MS, () => settle(undefined));
      const settle = (position: Position | undefined): void => {
        cancelTimer();
        this.waiting.delete(ref);
        resolve(position);
      };
      if (nodeId === this.nodeId) {
        const { sessionId, stream, token } = held;
        // In time, too: of two that are on their way each may wait for the other, where a repeat took the stream back.
        void this.followers.release(sessionId, stream, token).then(settle);
        return;
      }
      this.waiting.set(ref, settle);
      this.membership
        .send(nodeId, { type: 'release', ...held, replyTo: this.nodeId, ref })
        .catch(() => settle(undefined));
    });
  }

  /**
   * A GET was refused, since this connection of a living node holds the stream. Resolves with `true` if it was one of this
   * node, which does not have it any more: then the stream is free. Another node is told, and gives the stream up for the next
   * GET.
   */
  async doubt(nodeId: string, held: Held): Promise<boolean> {
    if (nodeId === this.nodeId) return this.giveUpLost(held);
    await this.membership.send(nodeId, { type: 'held', ...held }).catch(() => undefined); // the next GET asks again
    return false;
  }

  /** A failover may lose that a connection has given its stream up. */
  private async giveUpLost({ sessionId, stream, token }: Held): Promise<boolean> {
    if (this.followers.has(sessionId, stream, token)) return false;
    const position = { n: 0, logId: LOG_START };
    await this.commitQueue.submit(sessionId, [{ type: 'detach', stream, token, position }]);
    return true;
  }

  /** Another node needs a stream of this one. */
  onRelease({ sessionId, stream, token, replyTo, ref }: NodeMessageOf<'release'>): void {
    this.followers
      .release(sessionId, stream, token)
      .then((position) => this.membership.send(replyTo, { type: 'released', ref, position }))
      .catch(() => undefined); // then the other node goes on with what was last reported
  }

  onReleased({ ref, position }: NodeMessageOf<'released'>): void {
    this.waiting.get(ref)?.(position);
  }

  /**
   * Another node has claimed a stream of this one. Usually that is released at once, or, where the claim came too late, has its
   * stream again after a while. Otherwise the node that claimed it has died: the log says whose it is, and the client has to
   * come back.
   */
  onTaken({ sessionId, stream, token }: NodeMessageOf<'taken'>): void {
    this.clock.after(this.commandTimeoutMs + UNDO_MS, () =>
      this.followers.find(sessionId, stream, token)?.poke(),
    );
  }

  /** Another node has refused a GET, since this node is said to hold the stream. */
  onHeld(held: NodeMessageOf<'held'>): void {
    this.giveUpLost(held).catch(() => undefined); // the next GET asks again
  }
}
