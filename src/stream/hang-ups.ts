import type { CommitQueue } from './commit-queue.js';
import type { Followers } from './followers/followers.js';

/** Ends connections on purpose. A connection stays if its client could not come back. */
export class HangUps {
  constructor(
    private readonly commitQueue: Pick<CommitQueue, 'store'>,
    private readonly followers: Followers,
  ) {}

  /**
   * Ends the connection that holds a stream, whichever node it is on. The operation goes through the commit queue, so that
   * messages sent before it are on the stream when the connection ends. Never throws.
   */
  hangUp(sessionId: string, stream: string): void {
    this.commitQueue
      .store(sessionId, [{ type: 'hangup', stream }], true)
      .then((committed) => {
        const [result] = committed === 'gone' ? [] : committed.results;
        if (result?.status !== 'received' || result.token === undefined) return;
        this.hangUpHere(sessionId, stream, result.token);
      })
      .catch(() => undefined); // this node closes, and ends its connections
  }

  /** Ends the connection of this node that holds the stream. With `token`, it is ended only if it has that token. */
  hangUpHere(sessionId: string, stream: string, token?: string): void {
    const follower = this.followers.find(sessionId, stream, token);
    if (follower?.resumable === true) follower.end('hangup');
  }
}
