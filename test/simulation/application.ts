import type { Broadcast, Counted, Pushed, Requested } from './records.js';
import type { Ledger } from './ledger.js';
import type { SimNode } from './node.js';
import type { Scheduler } from './scheduler.js';

/** How long a client may take to answer a request that an application sends it outside of a call. */
const ASKED_MS = 20_000;

/** The applications of the nodes: what they do outside of any call, through the handle of the library. */
export class Application {
  private pushes = 0;
  private requests = 0;

  constructor(
    private readonly scheduler: Scheduler,
    private readonly ledger: Ledger,
  ) {}

  /** Adds 1 to the number that is the state of a session. */
  count({ handle }: SimNode, sessionId: string): void {
    const entry: Counted = { sessionId, at: this.scheduler.elapsed, outcome: 'pending' };
    this.ledger.counted.push(entry);
    handle
      .session(sessionId)
      .state.update((count) => Number(count ?? 0) + 1)
      .then(
        () => (entry.outcome = 'stored'),
        () => (entry.outcome = 'failed'),
      );
  }

  /**
   * Notifies all sessions that the tools have changed. With a URI, it notifies the subscribers that this resource has
   * changed.
   */
  announce({ handle }: SimNode, uri?: string): void {
    const entry: Broadcast = { at: this.scheduler.elapsed, acknowledgedAt: undefined, uri };
    this.ledger.broadcasts.push(entry);
    const { notify } = handle;
    (uri === undefined ? notify.toolsChanged() : notify.resourceUpdated(uri)).then(
      () => (entry.acknowledgedAt = this.scheduler.elapsed),
      () => undefined,
    );
  }

  /** Sends the session a notification. */
  push({ handle }: SimNode, sessionId: string): void {
    this.pushes += 1;
    const mark = `push${this.pushes}`;
    const entry: Pushed = { sessionId, mark, outcome: 'pending' };
    this.ledger.pushed.push(entry);
    handle
      .session(sessionId)
      .notify({ method: 'notifications/message', params: { mark } })
      .then(
        () => (entry.outcome = 'stored'),
        () => (entry.outcome = 'failed'),
      );
  }

  /** Sends a request to the client of the session, and waits for the answer. */
  request({ handle, nodeId }: SimNode, sessionId: string): void {
    this.requests += 1;
    const mark = `request${this.requests}`;
    const entry: Requested = {
      ...{ sessionId, nodeId, mark, at: this.scheduler.elapsed },
      ...{ acknowledgedAt: undefined, outcome: 'waiting', endedAt: undefined },
    };
    this.ledger.requested.push(entry);
    const end = (outcome: string): void => {
      entry.outcome = outcome;
      entry.endedAt = this.scheduler.elapsed;
    };
    const schema = { parse: (value: unknown) => value as { content: { mark: string } } };
    handle
      .session(sessionId)
      .request({ method: 'elicitation/create', params: { mark, message: '?' } }, schema, {
        timeout: ASKED_MS,
      })
      .then(
        ({ content }) => end(content.mark === mark ? 'answered' : `answered ${content.mark}`),
        (error: unknown) => end(String((error as { code?: unknown }).code)),
      );
  }
}
