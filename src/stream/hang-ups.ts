import type { CommitQueue } from './commit-queue.js';
import type { Followers } from './followers.js';

/** Ends connections on purpose, where their clients can come back. */
export class HangUps {
  constructor(
    private readonly commitQueue: Pick<CommitQueue, 'append'>,
    private readonly followers: Followers,
  ) {}

  /**
   * Ends the connection that holds a stream, whichever node it is on. The request goes through the same queue as the messages
   * that were sent before: those are on the stream when its connection ends. Never fails.
   */
  hangUp(sessionId: string, stream: string): void {
    this.commitQueue
      .append(sessionId, [{ type: 'hangup', stream }], true)
      .then((committed) => {
        const [result] = committed === 'gone' ? [] : committed.results;
        if (result?.status !== 'received' || result.token === undefined) return;
        this.hangUpHere(sessionId, stream, result.token);
      })
      .catch(() => undefined); // this node closes, and ends its connections anyway
  }

  /** Ends a connection of this node, if it still is the one with this token. */
  hangUpHere(sessionId: string, stream: string, token?: string): void {
    const follower = this.followers.find(sessionId, stream, token);
    if (follower?.resumable === true) follower.end('hangup');
  }
}
