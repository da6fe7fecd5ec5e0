import { BoundedMap } from '../../protocol/bounded-map.js';
import type { ExchangeOperation, OpenOperation, OperationResult } from '../backplane.js';
import { LOG_START } from '../backplane.js';
import { inboundEntry } from './memory-log.js';
import type { StreamExecutors } from './stream-executors.js';
import { give } from './stream-executors.js';
import type { SessionParts, Step } from './stored-stream.js';
import { BEGINNING } from './stored-stream.js';

/** The operations that log requests of the client: `open` and `exchange`. */
export class RequestOpenings {
  /** True once the client has sent a request. */
  called = false;
  /**
   * The streams of the last exchanges that were refused. An exchange leaves no stream, so nothing else tells a repeat whether the
   * first run has logged it.
   */
  private refused: BoundedMap<string, true> | undefined;

  constructor(
    private readonly session: SessionParts,
    private readonly executors: StreamExecutors,
    private readonly use: (step: Step) => void,
  ) {}

  open(operation: OpenOperation, step: Step): OperationResult {
    if (operation.principal !== this.session.stored.principal) return { status: 'denied' };
    if (step.isFull) return { status: 'full' };
    const { requests, most } = operation;
    if (!step.repeated) {
      const refusal = this.refusalOf(requests, most);
      if (refusal !== undefined) return refusal;
      const traced = operation.trace === undefined ? {} : { trace: operation.trace };
      let logId = LOG_START;
      for (const message of operation.messages) {
        logId = this.session.log.append(step.now, {
          ...inboundEntry(message, operation.stream),
          ...traced,
        });
      }
      this.session.streams.set(operation.stream, {
        last: { n: 0, logId },
        holder: { nodeId: step.nodeId, token: operation.token },
        pending: operation.requests.length,
        ...traced,
      });
      const opened = this.session.streams.get(operation.stream);
      const executor =
        operation.owned === true ? this.executors.takeOwnershipIfFree(step) : step.nodeId;
      if (opened !== undefined) give(opened, executor, step);
      for (const request of operation.requests)
        this.session.requests.set(request, operation.stream);
    }
    const stream = this.session.streams.get(operation.stream);
    if (stream === undefined) return this.refusedBefore(requests, most);
    this.use(step);
    this.called = true;
    // In a repeat, a message may have been logged since the first try. The connection has not shown it, and begins before it.
    const position = stream.last.n === 0 ? stream.last : BEGINNING;
    if (stream.unbegun === true && stream.executor !== undefined) {
      return { status: 'opened', position, owner: stream.executor };
    }
    this.session.registerReplica(operation.revision, step);
    return { status: 'opened', position };
  }

  exchange(operation: ExchangeOperation, step: Step): OperationResult {
    const { stream, request, revision, message, answer, trace, most } = operation;
    if (operation.principal !== this.session.stored.principal) return { status: 'denied' };
    if (step.isFull) return { status: 'full' };
    const isStale = revision !== this.session.stored.revision;
    if (step.repeated) {
      if (this.refused?.has(stream) !== true) {
        this.use(step);
        return { status: 'repeated' };
      }
      return isStale ? { status: 'stale' } : this.refusedBefore([request], most);
    }
    const refusal = this.refusalOf([request], most);
    if (refusal !== undefined || isStale) {
      this.refused ??= new BoundedMap(64);
      this.refused.set(stream, true);
      return refusal ?? { status: 'stale' };
    }
    const traced = trace === undefined ? {} : { trace };
    const asked = this.session.log.append(step.now, {
      ...inboundEntry(message, stream),
      ...traced,
    });
    const answered = this.session.log.append(step.now, {
      ...{ direction: 'out', stream, message: answer, n: 1, end: true, asker: undefined },
    });
    if (operation.failed === true) this.session.stored.errors += 1;
    this.use(step);
    this.called = true;
    this.session.replicas.add(step.nodeId);
    return {
      status: 'exchanged',
      asked: { n: 0, logId: asked },
      answered: { n: 1, logId: answered },
    };
  }

  /** Says why requests with these ids cannot begin, or returns `undefined` if they can. */
  private refusalOf(requests: string[], most: number | undefined): OperationResult | undefined {
    for (const id of requests) {
      const open = this.session.requests.get(id);
      if (open === undefined) continue;
      const executor = this.session.streams.get(open)?.executor ?? '';
      return { status: 'duplicate', stream: open, executor };
    }
    if (this.session.requests.size + requests.length <= (most ?? Infinity)) return undefined;
    return { status: 'limited', running: this.executors.all() };
  }

  /**
   * Says why an earlier try has refused requests. If one of their ids is in use now, that counts as the reason. Else it is the
   * limit, if there is one.
   */
  private refusedBefore(requests: string[], most: number | undefined): OperationResult {
    const isInUse = requests.some((id) => this.session.requests.has(id));
    if (isInUse || most === undefined) return { status: 'duplicate', stream: '', executor: '' };
    return { status: 'limited', running: [] };
  }
}
