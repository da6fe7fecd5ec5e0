import type {
  AppendOperation,
  Effect,
  NewSession,
  NoteOperation,
  Operation,
  OperationResult,
  Position,
  ReceiveOperation,
  SessionRecord,
  StoredState,
} from '../backplane.js';
import { coalescedByUri, STANDALONE } from '../backplane.js';
import { BoundedMap } from '../../protocol/bounded-map.js';
import type { Revision } from '../revision.js';
import { nextRevision, UNKNOWN_REVISION } from '../revision.js';
import { dropped, StreamExecutors } from './stream-executors.js';
import { StreamHolders } from './stream-holders.js';
import type { MemoryLog } from './memory-log.js';
import { inboundEntry, noteEntry } from './memory-log.js';
import { QuietNodes } from './quiet-nodes.js';
import { RequestOpenings } from './request-openings.js';
import { ClientMessageRoutes } from './client-message-routes.js';
import type { SessionParts, Step, Stream, Tell } from './stored-stream.js';
import { BEGINNING } from './stored-stream.js';

/**
 * A stored session. It has the same state and the same steps as the scripts in `../redis/scripts`, which explain each step.
 * Every method is synchronous and therefore atomic.
 */
export class StoredSession implements SessionParts {
  readonly streams = new Map<string, Stream>([[STANDALONE, { last: BEGINNING, pending: 0 }]]);
  readonly requests = new Map<string, string>();
  readonly replicas = new Set<string>();
  readonly holders = new StreamHolders(this);
  expiresAt = 0;
  /** How much the session counts toward the limit of pending sessions, until it is confirmed. */
  weight = 1;
  state: StoredState = { version: '', value: undefined };
  private readonly numbers = new Map<string, number>();
  /** For each node, the number of its last commit that found the outbox full. A repeat of it has to be refused, too. */
  private readonly refusals = new BoundedMap<string, number>(64);
  private readonly quietNodes = new QuietNodes(this.numbers, this.replicas);
  private readonly coalesced = new Map<string, Position>();
  /** The subscribed URIs, each with the seal of its subscription if one was given. */
  private readonly subscriptions = new Map<string, string | undefined>();
  private readonly executors = new StreamExecutors(this);
  private readonly routes = new ClientMessageRoutes(this, this.executors);
  private readonly openings = new RequestOpenings(this, this.executors, (step) => this.use(step));

  constructor(
    readonly stored: SessionRecord & Pick<NewSession, 'hears'>,
    readonly log: MemoryLog,
    readonly tell: Tell,
    private readonly refuses: () => boolean,
  ) {}

  record(): SessionRecord {
    const { hears: _, ...record } = this.stored;
    const sealed = [...this.subscriptions].filter(
      (each): each is [string, string] => each[1] !== undefined,
    );
    return {
      ...record,
      subscriptions: [...this.subscriptions.keys()],
      ...(sealed.length > 0 && { subscriptionSeals: new Map(sealed) }),
    };
  }

  /** True once the client has sent `initialized` or a request. */
  get confirmed(): boolean {
    return this.stored.active || this.openings.called;
  }

  private use(step: Step): void {
    step.used = true;
    this.stored.lastSeenAt = step.now;
  }

  commit(nodeId: string, number: number, operations: Operation[], now: number) {
    const former = this.numbers.get(nodeId);
    const repeated = (former ?? 0) >= number;
    if (!repeated) this.numbers.set(nodeId, number);
    const isFull = repeated ? this.refusals.get(nodeId) === number : this.refuses();
    if (isFull) this.refusals.set(nodeId, number);
    const step: Step = {
      nodeId,
      number,
      repeated,
      now,
      used: false,
      becameOwner: false,
      stale: false,
      isFull,
    };
    const results: OperationResult[] = [];
    for (const operation of operations) {
      step.before = results.at(-1);
      results.push(this.run(operation, step, step.before));
    }
    if (former === undefined) this.quietNodes.look(nodeId, now);
    const { used, stale } = step;
    const becameOwner = this.executors.becameOwner(step);
    return { revision: this.stored.revision, results, used, becameOwner, stale };
  }

  private run(
    operation: Operation,
    step: Step,
    before: OperationResult | undefined,
  ): OperationResult {
    switch (operation.type) {
      case 'open':
        return this.openings.open(operation, step);
      case 'exchange':
        return this.openings.exchange(operation, step);
      case 'receive':
        return this.receive(operation, step);
      case 'append':
        return this.append(operation, step);
      case 'detach':
        if (!step.repeated) this.holders.detach(operation, step);
        return { status: 'done' };
      case 'hangup': {
        const holder = this.streams.get(operation.stream)?.holder;
        if (holder === undefined) return { status: 'received', here: false };
        if (holder.nodeId === step.nodeId) {
          return { status: 'received', here: true, token: holder.token };
        }
        if (!step.repeated) {
          this.tell(holder.nodeId, {
            type: 'hangup',
            sessionId: this.stored.id,
            stream: operation.stream,
            token: holder.token,
          });
        }
        return { status: 'received', here: false };
      }
      case 'claim':
        return this.executors.claim(operation, step);
      case 'assign':
        return this.executors.assign(operation, step);
      case 'release':
        if (!step.repeated) this.executors.release(operation.stream, step);
        return { status: 'done' };
      case 'abandon':
        if (!step.repeated && this.executors.mayAbandon(operation.stream, step)) {
          for (const request of operation.requests) this.requests.delete(request);
          this.streams.delete(operation.stream);
        }
        return { status: 'done' };
      case 'note':
        return this.note(operation, step, before);
      case 'forget':
        if (!step.repeated) {
          this.replicas.delete(step.nodeId);
          if (this.stored.owner === step.nodeId) this.stored.owner = undefined;
        }
        return { status: 'done' };
    }
  }

  private receive(operation: ReceiveOperation, step: Step): OperationResult {
    if (operation.principal !== this.stored.principal) return { status: 'denied' };
    if (step.isFull) return { status: 'full' };
    this.use(step);
    if (!step.repeated) {
      const entry = inboundEntry(operation.message, undefined);
      // `initialized` is followed by a note that names the node.
      const isLogged = operation.route.to === 'initialized' && !this.stored.active;
      this.log.append(step.now, isLogged ? entry : { ...entry, by: step.nodeId });
    }
    return this.routes.follow(operation, step);
  }

  private append(operation: AppendOperation, step: Step): OperationResult {
    if (step.repeated) return this.appendedBefore(operation, step);
    const stream = this.streams.get(operation.stream);
    if (stream === undefined) return { status: 'dropped' };
    const unbegun = stream.unbegun === true;
    const toUnbegun = operation.onlyIf !== undefined && 'unbegun' in operation.onlyIf;
    if (toUnbegun && !unbegun) return dropped(stream);
    const isFree = toUnbegun || operation.stream === STANDALONE;
    if (!isFree && !this.executors.executesOrBegins(operation.stream, step)) return dropped(stream);
    const { ends, effect } = operation;
    if (ends !== undefined && this.requests.get(ends) !== operation.stream) {
      return { status: 'dropped', ...(!toUnbegun && { executor: step.nodeId }) };
    }
    if (!this.wanted(operation, stream, step)) return { status: 'skipped' };

    if (ends !== undefined) {
      this.requests.delete(ends);
      stream.pending -= 1;
      if (operation.failed === true) this.stored.errors += 1;
    }
    const ended = ends !== undefined && stream.pending <= 0;
    const n = stream.last.n + 1;
    const before = stream.last.n > 0 ? { before: stream.last.logId } : {};
    const asker = operation.asks === true ? step.nodeId : undefined;
    const { holder } = stream;
    const logId = this.log.append(step.now, {
      direction: 'out',
      stream: operation.stream,
      message: operation.message,
      n,
      end: ended,
      asker,
      ...(!operation.stream.startsWith(step.nodeId) && { by: step.nodeId }),
      ...(holder?.nodeId !== step.nodeId && { holder: holder?.nodeId ?? null }),
      ...(effect?.type === 'initialize' && { audit: { initialize: effect.params } }),
    });
    const position = { n, logId };
    stream.last = position;
    if (ended) this.streams.delete(operation.stream);
    if (operation.coalesce !== undefined) this.coalesced.set(operation.coalesce, position);
    if (effect !== undefined) this.shape(effect, step);

    if (holder !== undefined && holder.nodeId !== step.nodeId) {
      this.tell(holder.nodeId, {
        type: 'event',
        sessionId: this.stored.id,
        stream: operation.stream,
        token: holder.token,
        event: {
          position,
          message: operation.message,
          end: ended,
          ...(asker !== undefined && { asker }),
          ...before,
        },
        inline: true,
      });
    }
    for (const other of ended ? (stream.before ?? []) : []) {
      this.holders.tellToLook(other, operation.stream, position, true);
    }
    if (holder?.nodeId !== step.nodeId) return { status: 'appended', position, ended };
    return { status: 'appended', position, ended, token: holder.token, ...before };
  }

  /** Returns the result of a repeated `append`. See append.lua. */
  private appendedBefore(operation: AppendOperation, step: Step): OperationResult {
    const { stream, ends, onlyIf } = operation;
    if (onlyIf !== undefined) {
      if ('unbegun' in onlyIf) return { status: 'repeated' };
      if ('owned' in onlyIf && this.executors.isFormerOwner(step)) return { status: 'skipped' };
      if ('executes' in onlyIf && this.streams.get(onlyIf.executes)?.executor !== undefined) {
        if (!this.executors.executes(onlyIf.executes, step.nodeId)) return { status: 'skipped' };
      }
    }
    const isOpen = ends !== undefined && this.requests.get(ends) === stream;
    if (isOpen) return dropped(this.streams.get(stream));
    return { status: 'repeated' };
  }

  private wanted(operation: AppendOperation, stream: Stream, step: Step): boolean {
    const { onlyIf, coalesce } = operation;
    const { before } = step;
    if (onlyIf !== undefined) {
      if ('hears' in onlyIf && !this.stored.hears.includes(onlyIf.hears)) return false;
      if ('subscribed' in onlyIf && !this.subscriptions.has(onlyIf.subscribed)) return false;
      if ('owned' in onlyIf && this.executors.isFormerOwner(step)) return false;
      if ('executes' in onlyIf && !this.executors.executesOrBegins(onlyIf.executes, step))
        return false;
      const isDone = before?.status === 'appended' || before?.status === 'opened';
      if ('after' in onlyIf && !isDone) return false;
    }
    if (coalesce === undefined || stream.holder !== undefined) return true;
    const last = this.coalesced.get(coalesce);
    const shown = Math.max(stream.written?.n ?? 0, stream.mayHaveShown ?? 0);
    if (last === undefined || last.n <= shown) return true;
    return this.log.at(last.logId) === undefined;
  }

  private shape(effect: Effect, step: Step): void {
    switch (effect.type) {
      case 'level':
        this.stored.logLevel = effect.level;
        break;
      case 'subscribe':
        this.subscriptions.set(effect.uri, effect.seal);
        break;
      case 'unsubscribe':
        this.subscriptions.delete(effect.uri);
        this.coalesced.delete(coalescedByUri(effect.uri));
        break;
      case 'initialize': {
        const { hears, params: initialize, protocolVersion } = effect;
        Object.assign(this.stored, { hears, initialize, protocolVersion });
      }
    }
    this.stored.revision = nextRevision(this.stored.revision, step.nodeId, step.number);
    this.tellReplicas(step.nodeId, () => undefined);
  }

  private note(
    { kind, request, from, stream, ifAppended }: NoteOperation,
    { nodeId, now, repeated }: Step,
    before: OperationResult | undefined,
  ): OperationResult {
    if (repeated) return { status: 'done' };
    if (ifAppended === true && before?.status !== 'appended') return { status: 'skipped' };
    const note = { kind, nodeId, request, ...(from !== undefined && { from }) };
    this.log.append(now, noteEntry(note, stream));
    return { status: 'done' };
  }

  /** Returns all nodes that have a replica, a connection or a request of the session. */
  nodes(): Set<string> {
    const nodes = new Set(this.replicas);
    for (const { holder, executor } of this.streams.values()) {
      if (holder !== undefined) nodes.add(holder.nodeId);
      if (executor !== undefined) nodes.add(executor);
    }
    return nodes;
  }

  registerReplica(known: Revision | undefined, step: Step): void {
    if (known !== UNKNOWN_REVISION) this.replicas.add(step.nodeId);
    if (known !== this.stored.revision) step.stale = true;
  }

  tellReplicas(except: string, message: (nodeId: string) => string | undefined): void {
    for (const node of this.replicas) {
      if (node === except) continue;
      this.tell(node, {
        type: 'shape',
        sessionId: this.stored.id,
        revision: this.stored.revision,
        message: message(node),
      });
    }
  }
}
