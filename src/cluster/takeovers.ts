import type { Membership, NodeMessage, Position } from '../backplane/backplane.js';
import type { Clock } from '../protocol/clock.js';
import type { Followers } from '../stream/followers.js';

/** How long the old holder may take to say how far it came: longer than a node under load needs, shorter than a client notices. */
const ANSWER_MS = 250;

/** Asking another node to give a stream up, and being asked. */
export class Takeovers {
  private readonly waiting = new Map<string, (position: Position | undefined) => void>();
  private count = 0;

  constructor(
    private readonly nodeId: string,
    private readonly membership: Pick<Membership, 'send'>,
    private readonly followers: Followers,
    private readonly clock: Clock,
  ) {}

  /**
   * Has a connection ended, of this node or another one. Resolves with the last position that it wrote, or with
   * `undefined` when there is no such connection, or no answer in time. Never rejects.
   */
  async release(
    nodeId: string,
    held: { sessionId: string; stream: string; token: string },
  ): Promise<Position | undefined> {
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

  onMessage(message: NodeMessage): void {
    if (message.type === 'released') {
      this.waiting.get(message.ref)?.(message.position);
    } else if (message.type === 'release') {
      const { sessionId, stream, token, replyTo, ref } = message;
      this.followers
        .release(sessionId, stream, token)
        .then((position) => this.membership.send(replyTo, { type: 'released', ref, position }))
        .catch(() => undefined); // then the other node goes on with what was last reported
    }
  }
}
