/** Acts when a node finds out that a session, or a stream of it, has changed. */
export interface SessionListener {
  /** The backplane has no such session any more. */
  ended(sessionId: string): void;
  /** Another node owns the session, though this node has its replica. */
  ownedElsewhere(sessionId: string): void;
  /** A commit of this node has made it the owner of the session. */
  becameOwner(sessionId: string): void;
  /** Another node runs the requests of a stream that this node had begun, or the stream does not exist any more. */
  executionLost(sessionId: string, stream: string): void;
  /** All requests of a stream have been answered here, and the backplane still has the stream open. */
  answeredButOpen(sessionId: string, stream: string): void;
}

/**
 * Passes to one listener what the parts of a node find out about sessions. Lower parts, such as the commit queue, learn of
 * changes from the backplane. The listener decides what to do. It is a higher part, which is built later.
 */
export class SessionNotices implements SessionListener {
  private listener: SessionListener | undefined;

  listen(listener: SessionListener): void {
    this.listener = listener;
  }

  ended(sessionId: string): void {
    this.listener?.ended(sessionId);
  }

  ownedElsewhere(sessionId: string): void {
    this.listener?.ownedElsewhere(sessionId);
  }

  becameOwner(sessionId: string): void {
    this.listener?.becameOwner(sessionId);
  }

  executionLost(sessionId: string, stream: string): void {
    this.listener?.executionLost(sessionId, stream);
  }

  answeredButOpen(sessionId: string, stream: string): void {
    this.listener?.answeredButOpen(sessionId, stream);
  }
}
