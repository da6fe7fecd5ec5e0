import { setImmediate } from 'node:timers';
import type { AppendOperation, NoteOperation, SessionRecord } from '../backplane/backplane.js';
import { STANDALONE } from '../backplane/backplane.js';
import type { Revision } from '../backplane/revision.js';
import type {
  JsonRpcMessage,
  JsonRpcRequest,
  JsonRpcResponse,
  RequestId,
} from '../protocol/jsonrpc.js';
import {
  ErrorCode,
  errorResponse,
  isInitialized,
  isNotification,
  isRequest,
  isResponse,
} from '../protocol/jsonrpc.js';
import { AnynodeError, sessionEnded } from '../protocol/errors.js';
import type { BuiltReplica, ReplicaBuilder } from './build-replica.js';
import { InboundAdmission } from './requests/inbound-admission.js';
import { nodeOf } from './requests/outgoing-requests.js';
import type { InitializeExchange } from './initialize/initialize-exchange.js';
import type { Call, RunningCount } from './requests/running-calls.js';
import { RunningCalls, wasShown } from './requests/running-calls.js';
import { answerToCancelled, failed, notBuilt, serialized } from './requests/request-errors.js';
import { answerTurns } from './requests/loop-turns.js';
import type { NodeContext } from '../stream/node-context.js';
import type { Cause, DeliveryContext, ReplicaEvents } from './replica.js';
import { effectOfAnswer, mayBeRefused, refusalOf } from './session-shape.js';
import { deliverToFollowers } from '../stream/deliver-to-followers.js';
import type { ReplicaTransport } from './replica-transport.js';
import { ReplicaUpkeep } from './replica-upkeep.js';
import { endOf, shownOn } from '../stream/shown-on.js';
import type { AuthInfo, SessionInfo } from '../options/types.js';
import { Cursors } from '../stream/cursor.js';

/** A session of which this node has a replica, is building one, or is about to need one. */
export class LiveSession {
  /** Writes its event ids. */
  readonly cursors: Cursors;
  /** Whose session it is, as far as this node has learned. A session never changes hands. */
  principal: string | undefined;
  /** The node that holds the client's standalone stream, as far as this node has heard. */
  followedBy: string | undefined;
  /** HTTP+SSE: the holder of the client's connection has been told that this node has requests of it. */
  announced = false;
  lastUsedAt: number;
  readonly admission = new InboundAdmission();
  private readonly upkeep: ReplicaUpkeep;
  private readonly calls: RunningCalls;
  private pins = 0;
  private held = 0;
  /** Cancelled before they were known here: the word of it may come before the request was read, or its commit answered. */
  private readonly givenUp = new Set<RequestId>();
  /** Called when it is idle next, once. */
  onIdle: (() => void) | undefined;
  private warnedAt: number | undefined;
  /** While `initialize` is being answered. */
  private birth: InitializeExchange | undefined;

  constructor(
    readonly id: string,
    private readonly node: NodeContext,
    builder: ReplicaBuilder,
    running: RunningCount,
  ) {
    this.lastUsedAt = node.clock.elapsed();
    this.cursors = new Cursors(id);
    this.calls = new RunningCalls(running);
    this.upkeep = new ReplicaUpkeep(id, node, builder, (replica) => this.eventsOf(replica));
  }

  get hasReplica(): boolean {
    return this.upkeep.hasReplica;
  }

  /** The record's revision that the replica has been brought to; `undefined`: there is no replica. */
  get revision(): Revision | undefined {
    return this.upkeep.revision;
  }

  get running(): number {
    return this.calls.size;
  }

  /** A request runs, or something of it is on its way to the backplane or back. */
  get busy(): boolean {
    return this.pins > 0 || this.calls.size > 0;
  }

  /** No request, no running call, nobody waited for. (Whether a stream is open is known elsewhere.) */
  get idle(): boolean {
    const { busy, held, transport } = this;
    return !busy && held === 0 && (transport?.waiting ?? 0) === 0;
  }

  get transport(): ReplicaTransport | undefined {
    return this.upkeep.transport;
  }

  /** Its server goes on with something that is no call, until the returned function is called. */
  hold(): () => void {
    this.held += 1;
    return () => {
      this.held -= 1;
      this.used();
    };
  }

  /** Not idle until the returned function is called; called again it does nothing. */
  pin(): () => void {
    this.pins += 1;
    let pinned = true;
    return () => {
      if (!pinned) return;
      pinned = false;
      this.pins -= 1;
      if (this.pins === 0) this.givenUp.clear();
      this.used();
    };
  }

  /** It was in use, and may be idle now. */
  used(): void {
    this.lastUsedAt = this.node.clock.elapsed();
    if (!this.idle) return;
    const { onIdle } = this;
    this.onIdle = undefined;
    onIdle?.();
  }

  /**
   * Builds the replica that answers the client's `initialize`, and the session with it. `store` puts both into the
   * backplane; only then may anybody learn of the session. Rejects with whatever the factory, the server or `store`
   * rejected with; the replica is discarded then.
   */
  async beginWith(
    birth: InitializeExchange,
    context: { session: SessionInfo; authInfo: AuthInfo | undefined },
    delivery: DeliveryContext,
    store: (birth: InitializeExchange) => Promise<void>,
  ): Promise<void> {
    this.birth = birth;
    const unpin = this.pin();
    try {
      const { requestInfo } = delivery;
      const transport = await this.upkeep.begin({ ...context, rehydrated: false, requestInfo });
      const answered = birth.answered();
      answered.catch(() => undefined); // what comes between may fail first
      transport.deliver(birth.request, delivery);
      await answered;
      await store(birth);
      this.upkeep.begun(birth.request);
      birth.succeed();
    } catch (error) {
      birth.failed(error);
      await this.end();
      throw error;
    } finally {
      this.birth = undefined;
      unpin();
    }
  }

  /** See {@link ReplicaUpkeep.prepare}. */
  prepare(record: SessionRecord | undefined, cause: Cause | undefined): Promise<void> {
    return this.upkeep.prepare(record, cause);
  }

  /** Whether all requests of a stream run here, or may be about to, or the last answers are still to be stored. */
  mayRun(stream: string): boolean {
    const running = this.calls.all().filter((call) => call.stream === stream);
    const [first] = running;
    return first === undefined ? this.pins > 0 : running.length === first.batch.size;
  }

  /** Whether this request of a stream runs here. */
  runs(id: RequestId, stream: string): boolean {
    return this.calls.get(id)?.stream === stream;
  }

  /** The streams of the requests that run here. */
  streams(): string[] {
    return [...new Set(this.calls.all().map(({ stream }) => stream))];
  }

  /** The requests of a stream belong to another node now. The server stops; whatever it says of them still is not heard. */
  taken(stream: string): void {
    for (const { request } of this.calls.all().filter((call) => call.stream === stream)) {
      this.calls.take(request.id);
      this.transport?.deliver({
        jsonrpc: '2.0',
        method: 'notifications/cancelled',
        params: { requestId: request.id, reason: 'Another node has taken the request over' },
      });
    }
  }

  /**
   * Requests whose stream is open, and which run as soon as there is a replica. Where handlers of other requests with their
   * ids have been told to stop, returns a promise: a server needs a turn of the event loop to do so, and would stop these.
   */
  expect(
    requests: JsonRpcRequest[],
    stream: string,
    shown?: Call['shown'],
  ): Promise<void> | undefined {
    let stops = false;
    const batch = { size: requests.length, open: requests.length };
    for (const request of requests) {
      // The backplane has lost the request that had this id (a failover): what its handler answers is no answer to this one.
      const former = this.calls.get(request.id);
      if (former !== undefined) {
        this.taken(former.stream);
        stops = true;
      }
      this.calls.add({ request, stream, shown, batch });
      if (this.givenUp.delete(request.id)) this.cancelled(request.id);
    }
    return stops ? new Promise((resolve) => setImmediate(resolve)) : undefined;
  }

  /** Hands a request to the replica; its stream ends with its answer. One that was cancelled meanwhile is not run. */
  call(request: JsonRpcRequest, context: DeliveryContext): void {
    const call = this.calls.get(request.id);
    if (call?.request !== request) return;
    call.revision = this.revision;
    const refusal = this.refusalOf(request);
    if (refusal !== undefined) {
      this.calls.take(request.id);
      void this.finish(call, refusal).catch(ignoreClosed);
      return;
    }
    try {
      const { transport } = this;
      if (transport === undefined) throw new Error('its replica was discarded');
      transport.deliver(request, context);
    } catch (error) {
      this.node.logger.error(`mcp-anynode: a request could not be run: ${String(error)}`);
      void this.fail([request]).catch(ignoreClosed);
    }
  }

  private refusalOf(request: JsonRpcRequest): JsonRpcResponse | undefined {
    if (!mayBeRefused(request)) return undefined;
    const running = this.calls.withMethod('resources/subscribe');
    return refusalOf(request, this.upkeep.known, running, this.node.settings.limits);
  }

  /** Ends requests that cannot be run: with what their server said of it, if `why` is that. */
  async fail(requests: JsonRpcRequest[], why?: unknown): Promise<void> {
    for (const { id } of requests) {
      const call = this.calls.take(id);
      const response = notBuilt(id, why);
      if (call !== undefined) await this.finish(call, response);
    }
  }

  /** Ends all that runs, each with an error. */
  async failAll(errorOf: (id: RequestId) => JsonRpcResponse): Promise<void> {
    const calls = this.calls.takeAll();
    await Promise.all(
      calls.map((call) => {
        const { id } = call.request;
        return this.finish(call, errorOf(id), [failed(id, call.stream, this.node.nodeId)]);
      }),
    );
  }

  /** Stores the end of a request that has been taken; without a response its stream just ends. */
  private async finish(
    call: Call,
    given: JsonRpcResponse | undefined,
    notes?: NoteOperation[],
  ): Promise<void> {
    const { request, stream } = call;
    const unpin = this.pin();
    try {
      const turn = answerTurns.next();
      if (turn !== undefined) await turn;
      const { response, message } = answerTurns.write(() => serialized(this.node, request, given));
      const effect = effectOfAnswer(request, response);
      const end = endOf(stream, request.id, message, effect && { effect });
      const stored = await this.append(end, true, notes);
      call.batch.open -= 1;
      if (typeof stored === 'object') {
        // All are answered, and the stream is open: the backplane has lost an answer (a failover).
        if (call.batch.open === 0 && !stored.ended)
          this.node.notices.answeredButOpen(this.id, stream);
        if (effect !== undefined) await this.upkeep.took(effect, stored.revision, call.revision);
      } else if (effect !== undefined && stored !== 'gone') {
        this.upkeep.mayHaveTaken(effect);
      }
    } finally {
      unpin();
    }
  }

  /** Hands over a message that is no request. One for a replica that is not there any more has no addressee. */
  deliver(message: JsonRpcMessage, context?: DeliveryContext): void {
    this.lastUsedAt = this.node.clock.elapsed();
    this.upkeep.deliver(message, context);
    if (isNotification(message) && message.method === 'notifications/cancelled') {
      this.cancelled(message.params?.requestId as RequestId);
    }
  }

  /** The client gave the request up: its stream ends without an answer (in JSON mode, which needs one, with an error). */
  private cancelled(id: RequestId): void {
    const call = this.calls.take(id);
    // `initialize` must not be cancelled (specification, cancellation); it never is a call here.
    if (call === undefined) {
      if (this.pins > 0) this.givenUp.add(id);
      return;
    }
    const answer = answerToCancelled(this.node, id, call.stream);
    void this.finish(call, answer).catch(ignoreClosed);
  }

  private eventsOf(replica: () => BuiltReplica): ReplicaEvents {
    return {
      emit: (message, relatedTo) => this.emit(message, relatedTo),
      undelivered: (method, why) => this.warnOf(method, why),
      closed: () => this.onClosed(replica()),
    };
  }

  /** Once a second at most: a server that goes on to report progress of a call that has ended may do so very often. */
  private warnOf(method: string, why: unknown): void {
    const now = this.node.clock.elapsed();
    if (this.warnedAt !== undefined && now - this.warnedAt < 1000) return;
    this.warnedAt = now;
    this.node.logger.warn(`mcp-anynode: ${method} was not delivered: ${String(why)}`);
  }

  /** A message of the server. */
  private async emit(message: JsonRpcMessage, relatedTo: RequestId | undefined): Promise<void> {
    if (this.birth !== undefined) {
      if (this.birth.take(message, relatedTo)) return;
      await this.birth.stored; // it was said after the answer: it goes the usual way
      if (isResponse(message)) return; // a second answer to `initialize`
    }
    if (isResponse(message)) return this.answer(message);
    const call = relatedTo === undefined ? undefined : this.calls.get(relatedTo);
    if (relatedTo !== undefined && call === undefined) throw noConnection(relatedTo);
    if (call !== undefined && wasShown(call, message)) return;
    // A JSON response has nowhere to carry them: the standalone stream does.
    const stream =
      call === undefined || this.node.settings.responseMode === 'json'
        ? STANDALONE
        : shownOn(call.stream);
    const operation: AppendOperation = {
      ...{ type: 'append', stream, message: JSON.stringify(message) },
      // One that another node asks has that node's id: what is true of this one says nothing of it.
      ...(isRequest(message) && nodeOf(message.id) === this.node.nodeId && { asks: true }),
      ...(stream === STANDALONE && this.conditionOf(call)),
    };
    const stored = await this.append([operation], false);
    if (stored === 'gone') throw sessionEnded();
    if (call !== undefined && stored === 'taken') throw noConnection(relatedTo);
  }

  /** Of what another node has taken over meanwhile, this server has nothing to say any more. */
  private conditionOf(call: Call | undefined): Pick<AppendOperation, 'onlyIf'> {
    if (call !== undefined) return { onlyIf: { executes: call.stream } };
    return this.node.settings.owned ? { onlyIf: { owned: true } } : {};
  }

  private answer(response: JsonRpcResponse): Promise<void> {
    const call = this.calls.take(response.id);
    if (call === undefined) throw noConnection(response.id);
    return this.finish(call, response);
  }

  /**
   * Stores a message and shows it to its follower, if that is a connection of this node. Resolves with the record's
   * revision where it was stored just now. What follows the first operation depends on it. `gone`: the session has ended;
   * `taken`: another node runs the request now, or the backplane has lost it.
   */
  private async append(
    operations: [AppendOperation, ...AppendOperation[]],
    urgent: boolean,
    notes: NoteOperation[] = [],
  ): Promise<{ revision: Revision; ended: boolean } | 'gone' | 'taken' | undefined> {
    const all = [...operations, ...notes];
    const committed = await this.node.commitQueue.append(this.id, all, urgent);
    if (committed === 'gone') return 'gone';
    const [operation] = operations;
    const [result] = committed.results;
    deliverToFollowers(this.node.followers, this.id, operations, committed.results);
    switch (result?.status) {
      case 'appended':
        return { revision: committed.reply.revision, ended: result.ended };
      case 'dropped':
        // The stream waits for this node to begin it, and the step did not: another node owns the session.
        if (result.executor === this.node.nodeId && result.unbegun !== true) return undefined;
        this.node.notices.executionLost(this.id, operation.stream);
        return 'taken';
      case 'skipped': {
        const { onlyIf } = operation;
        if (onlyIf !== undefined && 'executes' in onlyIf) {
          this.node.notices.executionLost(this.id, onlyIf.executes);
          return 'taken';
        }
        this.node.notices.disowned(this.id);
        throw new AnynodeError('closed', 'Another node owns the session now');
      }
      default:
        return undefined;
    }
  }

  /**
   * Hands over the message that made the record `revision`. A request that came first may have brought the replica to the
   * record, which says that the client is initialized: its server is told that once.
   */
  deliverChange(message: JsonRpcMessage, revision: Revision, context?: DeliveryContext): void {
    if (!isInitialized(message) || !this.upkeep.known.active) this.deliver(message, context);
    this.upkeep.advanceTo(revision);
  }

  /** The session's shape has changed elsewhere. A failure is made good with the next request. */
  async reshaped(revision: Revision, message: JsonRpcMessage | undefined): Promise<void> {
    // One that is being built may have missed it, or may be the one that is to handle the message.
    await this.upkeep.settled();
    if (!this.hasReplica) return;
    if (message !== undefined) {
      this.deliverChange(message, revision);
    }
    if (this.revision !== revision) await this.upkeep.refresh();
  }

  /** The server closed itself: what it was doing ends with an error, and the next request gets a new replica. */
  private onClosed(replica: BuiltReplica): void {
    if (!this.upkeep.isCurrent(replica)) return;
    this.birth?.failed(new Error('The server closed before it answered'));
    this.upkeep.drop();
    for (const call of this.calls.takeAll()) {
      const { id } = call.request;
      const response = errorResponse(id, ErrorCode.ConnectionClosed, 'Connection closed');
      void this.finish(call, response).catch(ignoreClosed);
    }
  }

  /** Discards the replica; the session may get another one. */
  async evict(): Promise<void> {
    await this.upkeep.drop()?.discard();
  }

  /** The session has ended, or this node has. */
  async end(): Promise<void> {
    this.upkeep.end();
    this.calls.takeAll();
    await this.evict();
  }
}

function noConnection(id: RequestId | undefined): Error {
  return new Error(`No connection established for request ID: ${String(id)}`);
}

/** This node closes: what was not stored is lost with it, and its requests are orphans. */
function ignoreClosed(): void {
  // Nothing to do.
}
