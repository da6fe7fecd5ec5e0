import type {
  Commit,
  CommitReply,
  Commits,
  Operation,
  OperationResult,
} from '../backplane/backplane.js';
import type { Pauses } from '../protocol/timing/backoff.js';
import { backOff } from '../protocol/timing/backoff.js';
import { AnynodeError, FailedStep, unavailable } from '../protocol/errors.js';
import type { Clock } from '../protocol/timing/clock.js';
import { SharedTimer } from '../protocol/timing/shared-timer.js';
import { LogHorizon } from './log-horizon.js';

/** The outcome of a submission: one result for each of its operations, and the reply of the whole commit. */
export interface Committed {
  results: OperationResult[];
  reply: Extract<CommitReply, { status: 'ok' }>;
}

/** The operations of one caller. They are carried out together, in one commit. */
class Submission {
  readonly bytes: number;
  /** True once the caller does not wait any more. */
  abandoned = false;
  /** Cancels the timer that ends the caller's wait. `store` sets none. */
  cancelTimer: (() => void) | undefined;

  constructor(
    readonly operations: Operation[],
    private readonly resolve: (committed: Committed | 'gone') => void,
    private readonly refuse: (error: unknown) => void,
    /** The number of an earlier commit, which a commit without operations repeats. */
    readonly repeats?: number,
  ) {
    this.bytes = sizeOf(operations);
  }

  stored(committed: Committed | 'gone'): void {
    this.cancelTimer?.();
    this.resolve(committed);
  }

  reject(error: unknown): void {
    this.cancelTimer?.();
    this.refuse(error);
  }
}

interface SessionQueue {
  queue: Submission[];
  bytes: number;
}

/** A commit takes no further submission at this size, so that a burst neither blocks Redis nor makes an endless command. */
const COMMIT_BYTES = 1024 * 1024;
const COMMIT_SUBMISSIONS = 64;
const COMMIT_PAUSES: Pauses = { firstMs: 25, longestMs: 1000 };
/** After so many failures in a row, the node writes an error to the log for its operator. */
const LOG_ERROR_AFTER = 5;
/** How many bytes of a session may wait to be stored. Above that, only messages that end a request are accepted. */
const QUEUE_BYTES = 8 * 1024 * 1024;

/**
 * The queue of this node's commits. Each session has one commit at a time, in order. Operations that are submitted while a
 * commit is under way go into the next one.
 *
 * Because commits go one at a time, the backplane recognizes a repeat by its number (see `Commits.commit`). With two under way,
 * a repeat of the first could arrive after the second, and would wrongly count as done. This costs no throughput, because the
 * next commit carries everything that waits.
 */
export class CommitQueue {
  private readonly queues = new Map<string, SessionQueue>();
  private readonly timeouts: SharedTimer;
  private number = 0;
  private closed = false;

  constructor(
    private readonly backplane: Commits,
    private readonly clock: Clock,
    private readonly timeoutMs: number,
    private readonly logger: { error(message: string): void } = console,
    /**
     * Called when a message was stored after its caller had given up. A follower of the stream on this node has to read the
     * log.
     */
    private readonly onLate: (sessionId: string, stream: string) => void = () => undefined,
    /** Called when the backplane has no such session. */
    private readonly onGone: (sessionId: string) => void = () => undefined,
    private readonly horizon = new LogHorizon(clock),
    /** Called when a commit has made this node the owner of the session, before the submissions of that commit resolve. */
    private readonly onOwner: (sessionId: string) => void = () => undefined,
  ) {
    this.timeouts = new SharedTimer(clock, timeoutMs);
  }

  /**
   * Stores operations for which a client waits. Rejects with `backplane_unavailable` after `commandTimeoutMs`. Operations
   * that were not sent by then are never sent. A stream that turns out to have been opened is abandoned again, so that its
   * request ids are free.
   */
  submit(sessionId: string, operations: Operation[]): Promise<Committed | 'gone'> {
    if (this.closed) return Promise.reject(closedError());
    return new Promise((resolve, reject) => {
      const submission = new Submission(operations, resolve, reject);
      submission.cancelTimer = this.timeouts.after(() => {
        this.abandon(sessionId, submission);
        const late = unavailable(new Error(`not stored within ${this.timeoutMs} ms`));
        reject(this.closed ? closedError() : late);
      });
      this.enqueue(sessionId, submission);
    });
  }

  /**
   * Stores messages of a server, and other operations that must not be lost. Tries until they are stored, the session is
   * gone or this node closes. If too much of the session waits already, it rejects at once with `backplane_unavailable`,
   * unless `urgent` is set. The end of a request is urgent, because its client waits for it.
   */
  store(sessionId: string, operations: Operation[], urgent: boolean): Promise<Committed | 'gone'> {
    if (!urgent && (this.queues.get(sessionId)?.bytes ?? 0) > QUEUE_BYTES) {
      return Promise.reject(unavailable(new Error('too much waits to be stored')));
    }
    return new Promise((resolve, reject) => {
      this.enqueue(sessionId, new Submission(operations, resolve, reject));
    });
  }

  /** Whether operations of this session wait, or are being stored. */
  isBusy(sessionId: string): boolean {
    return this.queues.has(sessionId);
  }

  /** Rejects all submissions that wait. */
  close(): void {
    this.closed = true;
    this.timeouts.close();
    for (const sessionQueue of this.queues.values()) {
      for (const submission of sessionQueue.queue) submission.reject(closedError());
      sessionQueue.queue = [];
    }
  }

  /** Resolves when no operation waits or is being stored. */
  async idle(): Promise<void> {
    while (this.queues.size > 0 && !this.closed) {
      await new Promise<void>((resolve) => this.idlers.push(resolve));
    }
  }
  private idlers: (() => void)[] = [];

  /** Marks a submission whose caller has given up. Takes it out of the queue if it was not sent yet. */
  private abandon(sessionId: string, submission: Submission): void {
    submission.abandoned = true;
    const sessionQueue = this.queues.get(sessionId);
    const at = sessionQueue?.queue.indexOf(submission) ?? -1;
    if (sessionQueue === undefined || at < 0) return;
    sessionQueue.queue.splice(at, 1);
    sessionQueue.bytes -= submission.bytes;
  }

  private enqueue(sessionId: string, submission: Submission, first = false): void {
    if (this.closed) {
      submission.reject(closedError());
      return;
    }
    let sessionQueue = this.queues.get(sessionId);
    if (sessionQueue === undefined) {
      sessionQueue = { queue: [], bytes: 0 };
      this.queues.set(sessionId, sessionQueue);
      const opened = sessionQueue;
      // The first commit is made in a microtask, so that it takes everything that is submitted before.
      queueMicrotask(() => this.drain(sessionId, opened));
    }
    if (first) sessionQueue.queue.unshift(submission);
    else sessionQueue.queue.push(submission);
    sessionQueue.bytes += submission.bytes;
  }

  /** Makes the next commit of a session, and then goes on until its queue is empty. */
  private drain(sessionId: string, sessionQueue: SessionQueue): void {
    if (sessionQueue.queue.length === 0) {
      this.queues.delete(sessionId);
      if (this.queues.size === 0) for (const resolve of this.idlers.splice(0)) resolve();
      return;
    }
    const batch = this.takeBatch(sessionQueue);
    const [only] = batch;
    const operations =
      batch.length === 1 && only !== undefined
        ? only.operations
        : batch.flatMap((submission) => submission.operations);
    const number = only?.repeats ?? (this.number += 1);
    const { after } = this.horizon;
    const commit: Commit = { sessionId, number, operations, after };
    this.commit(commit).then(
      (reply) => {
        this.settle(sessionId, batch, reply);
        this.drain(sessionId, sessionQueue);
      },
      (error: unknown) => {
        void this.retry(commit, batch, error)
          .then(
            (reply) => {
              if (reply !== 'unknown') this.settle(sessionId, batch, reply);
              else this.handleUnknown(commit);
            },
            (closed: unknown) => {
              for (const submission of batch) submission.reject(closed);
            },
          )
          .then(() => this.drain(sessionId, sessionQueue));
      },
    );
  }

  /** Calls the backplane. An exception that it throws becomes a rejection, so that both are handled alike. */
  private commit(commit: Commit): Promise<CommitReply> {
    try {
      return this.backplane.commit(commit);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  private settle(sessionId: string, batch: Submission[], reply: CommitReply): void {
    if (reply.status === 'ok') {
      for (const result of reply.results) {
        if ('position' in result) this.horizon.saw(result.position.logId);
        else if (result.status === 'exchanged') this.horizon.saw(result.answered.logId);
      }
      if (reply.becameOwner === true) this.refuseOutdated(sessionId);
    }
    let at = 0;
    for (const submission of batch) {
      const { operations } = submission;
      let committed: Committed | 'gone' = 'gone';
      if (reply.status === 'ok') {
        const { results } = reply;
        const mine = batch.length === 1 ? results : results.slice(at, at + operations.length);
        committed = { reply, results: mine };
      }
      at += operations.length;
      if (submission.abandoned) this.handleLate(sessionId, operations, committed);
      else submission.stored(committed);
    }
    if (reply.status === 'gone') this.onGone(sessionId);
  }

  /**
   * Refuses waiting messages of the session's replica. This node has just become the owner again, so the replica dates from
   * an earlier time as the owner.
   */
  private refuseOutdated(sessionId: string): void {
    this.onOwner(sessionId);
    const sessionQueue = this.queues.get(sessionId);
    for (const submission of sessionQueue?.queue.filter(dependsOnOwner) ?? []) {
      this.abandon(sessionId, submission);
      submission.reject(new AnynodeError('closed', 'Another node has owned the session meanwhile'));
    }
  }

  private takeBatch(sessionQueue: SessionQueue): Submission[] {
    const batch: Submission[] = [];
    let bytes = 0;
    while (batch.length < COMMIT_SUBMISSIONS && bytes < COMMIT_BYTES) {
      const next = sessionQueue.queue.shift();
      if (next === undefined) break;
      sessionQueue.bytes -= next.bytes;
      batch.push(next);
      bytes += next.bytes;
      if (next.repeats !== undefined) break;
    }
    return batch;
  }

  /**
   * Repeats a failed commit until its outcome is known. Returns `unknown` if every waiting client has already got 503: what
   * these clients sent must not fill the memory during an outage.
   */
  private async retry(
    commit: Commit,
    batch: Submission[],
    error: unknown,
  ): Promise<CommitReply | 'unknown'> {
    let failure = error;
    for (let attempt = 0; ; attempt += 1) {
      if (this.closed || (failure instanceof AnynodeError && failure.code === 'closed')) {
        throw closedError();
      }
      // Another try would fail in the same way.
      const isLasting = failure instanceof AnynodeError && failure.code === 'undecodable';
      if (isLasting || failure instanceof FailedStep) throw failure;
      if (batch.every(isRefused)) return 'unknown';
      if (attempt === (isRefusal(failure) ? 0 : LOG_ERROR_AFTER)) {
        this.logger.error(`mcp-anynode: the backplane refuses to store: ${String(failure)}`);
      }
      await backOff(attempt, COMMIT_PAUSES, this.clock);
      try {
        return await this.backplane.commit({ ...commit, after: this.horizon.after });
      } catch (again) {
        failure = again;
      }
    }
  }

  /**
   * Handles a commit that is not repeated any more. It may have made this node the owner, so a commit with the same number
   * asks for that. This next step of the session has no operations, because what the clients sent is not kept.
   */
  private handleUnknown({ sessionId, number, operations }: Commit): void {
    this.undo(sessionId, operations);
    if (!operations.some(takesOwnership)) return;
    this.enqueue(sessionId, new Submission([], ignore, ignore, number), true);
  }

  /** Handles a submission that was stored after its caller had given up. */
  private handleLate(
    sessionId: string,
    operations: Operation[],
    committed: Committed | 'gone',
  ): void {
    if (committed === 'gone') return;
    this.undo(
      sessionId,
      operations.filter((_, at) => committed.results[at]?.status === 'opened'),
    );
    for (const operation of operations) {
      if (operation.type === 'append') this.onLate(sessionId, operation.stream);
    }
  }

  /**
   * Abandons streams that were, or may have been, opened for clients that have given up. That frees their request ids. This
   * step comes before everything else that waits in the queue of the session.
   */
  private undo(sessionId: string, operations: Operation[]): void {
    const undone = operations.flatMap((operation): Operation[] => {
      if (operation.type !== 'open') return [];
      return [{ type: 'abandon', stream: operation.stream, requests: operation.requests }];
    });
    if (undone.length === 0) return;
    // If this node closes, the streams become orphans.
    this.enqueue(sessionId, new Submission(undone, ignore, ignore), true);
  }
}

function ignore(): void {
  // This node closes, or the step failed inside the backplane.
}

/** Whether the client's operation makes this node the owner of a session that no node owns. */
function takesOwnership(operation: Operation): boolean {
  if (operation.type === 'open') return operation.owned === true;
  if (operation.type !== 'receive') return false;
  const { route } = operation;
  return route.to === 'owner' || (route.to === 'initialized' && route.owned === true);
}

/** The operations that begin what a client asks for. */
const BEGINS: ReadonlySet<Operation['type']> = new Set(['open', 'exchange', 'receive']);

/** Whether the submission is a client's, and the client has already got 503. */
function isRefused({ abandoned, operations }: Submission): boolean {
  return abandoned && operations.every(({ type }) => BEGINS.has(type));
}

/** Whether Redis answered with an error. The operator should hear of that at once, because tries alone may not end it. */
function isRefusal(error: unknown): boolean {
  return (
    error instanceof Error && error.cause instanceof Error && error.cause.name === 'ReplyError'
  );
}

/** Whether the submission is a message of a replica that is stored only if this node owns the session. */
function dependsOnOwner({ operations }: Submission): boolean {
  return operations.some(
    (operation) => operation.type === 'append' && 'owned' in (operation.onlyIf ?? {}),
  );
}

function sizeOf(operations: Operation[]): number {
  let bytes = 0;
  for (const operation of operations) {
    if ('message' in operation) bytes += operation.message?.length ?? 0;
    if (operation.type === 'exchange') bytes += operation.answer.length;
    if (operation.type === 'open') for (const text of operation.messages) bytes += text.length;
  }
  return bytes;
}

function closedError(): AnynodeError {
  return new AnynodeError('closed', 'This node was closed');
}
