/** Acts upon what a node finds out about its sessions. */
export interface SessionListener {
  /** The session has ended, as the backplane says. */
  ended(sessionId: string): void;
  /** Another node owns the session, though this node has its replica. */
  disowned(sessionId: string): void;
  /** Another node runs the requests of a stream that this node had begun, or the stream does not exist any more. */
  executionLost(sessionId: string, stream: string): void;
  /** All requests of a stream have been answered here, and the backplane still has the stream open. */
  answeredButOpen(sessionId: string, stream: string): void;
}

/**
 * Tells the one listener of a node what its parts find out about sessions. The parts below, such as the commit queue, learn of
 * it from the backplane. The parts above, which decide what follows from it, are built later and listen.
 */
export class SessionNotices implements SessionListener {
  private listener: SessionListener | undefined;

  listen(listener: SessionListener): void {
    this.listener = listener;
  }

  ended(sessionId: string): void {
    this.listener?.ended(sessionId);
  }

  disowned(sessionId: string): void {
    this.listener?.disowned(sessionId);
  }

  executionLost(sessionId: string, stream: string): void {
    this.listener?.executionLost(sessionId, stream);
  }

  answeredButOpen(sessionId: string, stream: string): void {
    this.listener?.answeredButOpen(sessionId, stream);
  }
}
