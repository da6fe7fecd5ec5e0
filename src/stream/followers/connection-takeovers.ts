import type { NodeInboxes, NodeMessageOf, Position } from '../../backplane/backplane.js';
import { LOG_START } from '../../backplane/backplane.js';
import type { Clock } from '../../protocol/timing/clock.js';
import type { Followers } from './followers.js';
import type { CommitQueue } from '../commit-queue.js';

/**
 * How long to wait for the position of the old holder. Even a node under load needs less, and a client does not notice the
 * wait.
 */
const ANSWER_MS = 250;

/** How long after `commandTimeoutMs` a node may still give back a stream that it took for a GET which then failed. */
const UNDO_MS = 1000;

/** A stream and the token of the connection that holds it. */
interface Held {
  sessionId: string;
  stream: string;
  token: string;
}

/** Moves streams from one connection to another: asks other nodes to end their connection, and answers when they ask. */
export class ConnectionTakeovers {
  private readonly waiting = new Map<string, (position: Position | undefined) => void>();
  private count = 0;

  constructor(
    private readonly nodeId: string,
    private readonly backplane: NodeInboxes,
    private readonly followers: Followers,
    private readonly clock: Clock,
    private readonly commandTimeoutMs: number,
    private readonly commitQueue: Pick<CommitQueue, 'submit'>,
  ) {}

  /**
   * Ends a connection on this node or another one. Resolves with the last position that the connection wrote, or with
   * `undefined` if there is no such connection or no answer in time. Never rejects.
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
        // This wait is limited too. After a repeated `attach`, two arriving connections may each wait for the other.
        void this.followers.release(sessionId, stream, token).then(settle);
        return;
      }
      this.waiting.set(ref, settle);
      this.backplane
        .send(nodeId, { type: 'release', ...held, replyTo: this.nodeId, ref })
        .catch(() => settle(undefined));
    });
  }

  /**
   * Checks a holder for which a GET was refused. If the holder is on this node and its connection does not exist any more,
   * the stream is given up, and the promise resolves with `true`. A holder on another node is checked there, which helps
   * the next GET.
   */
  async checkHolder(nodeId: string, held: Held): Promise<boolean> {
    if (nodeId === this.nodeId) return this.giveUpLost(held);
    await this.backplane.send(nodeId, { type: 'held', ...held }).catch(() => undefined); // the next GET sends it again
    return false;
  }

  /** Gives a stream up if its connection does not exist. A failover may have lost an earlier step that gave the stream up. */
  private async giveUpLost({ sessionId, stream, token }: Held): Promise<boolean> {
    if (this.followers.has(sessionId, stream, token)) return false;
    const position = { n: 0, logId: LOG_START };
    await this.commitQueue.submit(sessionId, [{ type: 'detach', stream, token, position }]);
    return true;
  }

  /** Ends a connection whose stream another node has taken, and tells that node the last position. */
  onRelease({ sessionId, stream, token, replyTo, ref }: NodeMessageOf<'release'>): void {
    this.followers
      .release(sessionId, stream, token)
      .then((position) => this.backplane.send(replyTo, { type: 'released', ref, position }))
      .catch(() => undefined); // the other node then begins at the position that was reported last
  }

  onReleased({ ref, position }: NodeMessageOf<'released'>): void {
    this.waiting.get(ref)?.(position);
  }

  /**
   * Notes that a connection of another node has taken the stream of a connection of this node. Usually that node sends
   * `release` next, or gives the stream back because its GET has failed. If neither has happened after a while, that node
   * has died. The follower then reads the log, learns that it has lost the stream, and ends, so that the client comes back.
   */
  onTaken({ sessionId, stream, token }: NodeMessageOf<'taken'>): void {
    this.clock.after(this.commandTimeoutMs + UNDO_MS, () =>
      this.followers.find(sessionId, stream, token)?.poke(),
    );
  }

  /** Checks a connection of this node because another node has refused a GET in its favor. */
  onHeld(held: NodeMessageOf<'held'>): void {
    this.giveUpLost(held).catch(() => undefined); // the next refused GET has it checked again
  }
}
