import { RunningCount } from '../replica/requests/running-calls.js';

/** Whether a node closes or has closed, and how many requests it still has to wait for. */
export class NodeLifetime {
  /** Requests that are neither answered nor running yet. */
  readonly arriving = new RunningCount();
  /** Requests that run on this node. */
  readonly running = new RunningCount();
  /** Requests that came to this node and run on another one. */
  readonly elsewhere = new RunningCount();
  /** Requests of revision 2026-07-28, subscriptions included. */
  readonly exchanges = new RunningCount();
  private state: 'open' | 'closing' | 'closed' = 'open';

  /** `close()` was called: no connection is kept for another request. */
  isClosing(): boolean {
    return this.state !== 'open';
  }

  /** New requests are refused. */
  isClosed(): boolean {
    return this.state === 'closed';
  }

  beginClosing(): void {
    this.state = 'closing';
  }

  close(): void {
    this.state = 'closed';
  }
}
