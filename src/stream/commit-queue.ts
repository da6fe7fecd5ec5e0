import type {
  Commit,
  CommitReply,
  Commits,
  Operation,
  OperationResult,
} from '../backplane/backplane.js';
import type { Pauses } from '../protocol/backoff.js';
import { backOff } from '../protocol/backoff.js';
import { AnynodeError, FailedStep, unavailable } from '../protocol/errors.js';
import type { Clock } from '../protocol/clock.js';
import { SharedTimer } from '../protocol/shared-timer.js';
import { LogHorizon } from './log-horizon.js';

/** What a submission comes back with: one result per operation, and what the commit said of the session. */
export interface Committed {
  results: OperationResult[];
  reply: Extract<CommitReply, { status: 'ok' }>;
}

class Submission {
  readonly bytes: number;
  /** The caller waits no longer. */
  abandoned = false;
  /** Of a caller that waits only so long. */
  cancelTimer: (() => void) | undefined;

  constructor(
    readonly operations: Operation[],
    private readonly resolve: (committed: Committed | 'gone') => void,
    private readonly refuse: (error: unknown) => void,
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

/** One commit carries no more than this, so that a burst neither blocks Redis nor makes one huge command. */
const COMMIT_BYTES = 1024 * 1024;
const COMMIT_SUBMISSIONS = 64;
const COMMIT_PAUSES: Pauses = { firstMs: 25, longestMs: 1000 };
/** So many failures in a row are no blip: whoever runs this node should know. */
const LOUD_AFTER = 5;
/** What may wait for the backplane per session; above it, messages that end nothing are refused. */
const QUEUE_BYTES = 8 * 1024 * 1024;

/**
 * All writes of this node to the log go through here: per session one commit at a time, in order; what arrives
 * meanwhile goes along with the next one.
 *
 * One at a time is what makes the repeat of a commit recognisable by its number (see `Commits.commit`): with two
 * under way, a repeat of the first could arrive after the second and be taken for done. It costs no throughput, since
 * everything that waits is carried by the next commit.
 */
export class CommitQueue {
  private readonly queues = new Map<string, SessionQueue>();
  private readonly timeouts: SharedTimer;
  private number = 0;
  private closed = false;

  constructor(
    private readonly membership: Commits,
    private readonly clock: Clock,
    private readonly timeoutMs: number,
    private readonly logger: { error(message: string): void } = console,
    /** A message was stored after its sender had been told that it may not be: whoever follows the stream here, look. */
    private readonly onLate: (sessionId: string, stream: string) => void = () => undefined,
    /** There is no such session, or no longer. */
    private readonly onGone: (sessionId: string) => void = () => undefined,
    private readonly horizon = new LogHorizon(clock),
  ) {
    this.timeouts = new SharedTimer(clock, timeoutMs);
  }

  /**
   * For what a client waits for: rejects with `backplane_unavailable` after `commandTimeoutMs`. What was not sent by
   * then never will be; a stream that opens after all is abandoned again, so that its request ids are free.
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
   * For what the server says: tried until it is stored, the session is gone or this node closes. Rejects at once with
   * `backplane_unavailable` where too much waits already, unless `urgent` (the end of a request: somebody waits for it).
   */
  append(sessionId: string, operations: Operation[], urgent: boolean): Promise<Committed | 'gone'> {
    if (!urgent && (this.queues.get(sessionId)?.bytes ?? 0) > QUEUE_BYTES) {
      return Promise.reject(unavailable(new Error('too much waits to be stored')));
    }
    return new Promise((resolve, reject) => {
      this.enqueue(sessionId, new Submission(operations, resolve, reject));
    });
  }

  /** Whether something of this session waits to be stored, or is being stored. */
  isBusy(sessionId: string): boolean {
    return this.queues.has(sessionId);
  }

  /** What is still waiting is rejected. */
  close(): void {
    this.closed = true;
    this.timeouts.close();
    for (const sessionQueue of this.queues.values()) {
      for (const submission of sessionQueue.queue) submission.reject(closedError());
      sessionQueue.queue = [];
    }
  }

  /** Resolves when nothing is waiting or under way. */
  async idle(): Promise<void> {
    while (this.queues.size > 0 && !this.closed) {
      await new Promise<void>((resolve) => this.idlers.push(resolve));
    }
  }
  private idlers: (() => void)[] = [];

  /** Nobody waits any more: what was not sent never will be, and is not kept either. */
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
      // In a turn of its own: all that is submitted in this one goes in the first commit.
      queueMicrotask(() => this.drain(sessionId, opened));
    }
    if (first) sessionQueue.queue.unshift(submission);
    else sessionQueue.queue.push(submission);
    sessionQueue.bytes += submission.bytes;
  }

  /** The next commit of a sessionQueue, after which comes the next one. */
  private drain(sessionId: string, sessionQueue: SessionQueue): void {
    if (sessionQueue.queue.length === 0) {
      this.queues.delete(sessionId);
      if (this.queues.size === 0) for (const resolve of this.idlers.splice(0)) resolve();
      return;
    }
    const batch = this.take(sessionQueue);
    const [only] = batch;
    const operations =
      batch.length === 1 && only !== undefined
        ? only.operations
        : batch.flatMap((submission) => submission.operations);
    this.number += 1;
    const { after } = this.horizon;
    const commit: Commit = { sessionId, number: this.number, operations, after };
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
              else for (const each of batch) this.undo(sessionId, each.operations);
            },
            (closed: unknown) => {
              for (const submission of batch) submission.reject(closed);
            },
          )
          .then(() => this.drain(sessionId, sessionQueue));
      },
    );
  }

  /** A backplane that throws has failed like one that rejects: here nobody else would hear of it. */
  private commit(commit: Commit): Promise<CommitReply> {
    try {
      return this.membership.commit(commit);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  private settle(sessionId: string, batch: Submission[], reply: CommitReply): void {
    if (reply.status === 'ok') {
      for (const result of reply.results) {
        if ('position' in result) this.horizon.saw(result.position.logId);
      }
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
      if (submission.abandoned) this.late(sessionId, operations, committed);
      else submission.stored(committed);
    }
    if (reply.status === 'gone') this.onGone(sessionId);
  }

  private take(sessionQueue: SessionQueue): Submission[] {
    const batch: Submission[] = [];
    let bytes = 0;
    while (batch.length < COMMIT_SUBMISSIONS && bytes < COMMIT_BYTES) {
      const next = sessionQueue.queue.shift();
      if (next === undefined) break;
      sessionQueue.bytes -= next.bytes;
      batch.push(next);
      bytes += next.bytes;
    }
    return batch;
  }

  /**
   * The same commit again, after it has failed, until its outcome is known. Only where it is all of clients that have been
   * refused is it left `unknown`, since what they sent is not to wait in memory for the end of an outage.
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
      // These do not mend themselves either.
      const isLasting = failure instanceof AnynodeError && failure.code === 'undecodable';
      if (isLasting || failure instanceof FailedStep) throw failure;
      if (batch.every(isRefused)) return 'unknown';
      if (attempt === (isRefusal(failure) ? 0 : LOUD_AFTER)) {
        this.logger.error(`mcp-anynode: the backplane refuses to store: ${String(failure)}`);
      }
      await backOff(attempt, COMMIT_PAUSES, this.clock);
      try {
        return await this.membership.commit({ ...commit, after: this.horizon.after });
      } catch (again) {
        failure = again;
      }
    }
  }

  /** It was stored after all, though nobody waits for it. */
  private late(sessionId: string, operations: Operation[], committed: Committed | 'gone'): void {
    if (committed === 'gone') return;
    this.undo(
      sessionId,
      operations.filter((_, at) => committed.results[at]?.status === 'opened'),
    );
    for (const operation of operations) {
      if (operation.type === 'append') this.onLate(sessionId, operation.stream);
    }
  }

  /** Streams that were or may have been opened for nobody, before anything else: their request ids are to be free. */
  private undo(sessionId: string, operations: Operation[]): void {
    const undone = operations.flatMap((operation): Operation[] => {
      if (operation.type !== 'open') return [];
      return [{ type: 'abandon', stream: operation.stream, requests: operation.requests }];
    });
    if (undone.length === 0) return;
    const ignore = (): void => undefined; // closed: what this node runs are orphans then
    this.enqueue(sessionId, new Submission(undone, ignore, ignore), true);
  }
}

/** A client's, which was told that it has not been stored. */
function isRefused({ abandoned, operations }: Submission): boolean {
  return abandoned && operations.every(({ type }) => type === 'open' || type === 'receive');
}

/** The backplane has answered, and said no: that does not mend itself. */
function isRefusal(error: unknown): boolean {
  return (
    error instanceof Error && error.cause instanceof Error && error.cause.name === 'ReplyError'
  );
}

function sizeOf(operations: Operation[]): number {
  let bytes = 0;
  for (const operation of operations) {
    if ('message' in operation) bytes += operation.message?.length ?? 0;
    else if (operation.type === 'open') for (const text of operation.messages) bytes += text.length;
  }
  return bytes;
}

function closedError(): AnynodeError {
  return new AnynodeError('closed', 'This node was closed');
}
