import { RunningCount } from '../replica/requests/running-calls.js';

/** Holds whether this node is closing or closed, and counts the requests that it still has to wait for. */
export class NodeLifetime {
  /** Counts requests that are neither answered nor running yet. */
  readonly arriving = new RunningCount();
  /** Counts requests that run on this node. */
  readonly running = new RunningCount();
  /** Counts requests that came to this node and run on another node. */
  readonly elsewhere = new RunningCount();
  /** Counts requests of protocol revision 2026-07-28, subscriptions included. */
  readonly exchanges = new RunningCount();
  private state: 'open' | 'closing' | 'closed' = 'open';

  /** True once `close()` was called. HTTP connections are no longer kept open for another request. */
  isClosing(): boolean {
    return this.state !== 'open';
  }

  /** True once new requests are refused. */
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
