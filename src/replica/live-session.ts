import { setImmediate } from 'node:timers';
import type { AppendOperation, NoteOperation, SessionRecord } from '../backplane/backplane.js';
import { STANDALONE } from '../backplane/backplane.js';
import type { Revision } from '../backplane/revision.js';
import type { HttpAnswer } from '../protocol/http-answer.js';
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
  isFailure,
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
import { deliverToFollowers } from '../stream/followers/deliver-to-followers.js';
import type { ReplicaTransport } from './replica-transport.js';
import { ReplicaUpkeep } from './replica-upkeep.js';
import { endOf, shownOn } from '../stream/shown-on.js';
import type { AuthInfo, SessionInfo } from '../options/types.js';
import { Cursors } from '../stream/cursor.js';

/** A session of which this node has a replica, is building one, or is about to need one. */
export class LiveSession {
  /** Writes and reads the cursors of this session. */
  readonly cursors: Cursors;
  /** The principal of the session, if this node has learned it. It never changes. */
  principal: string | undefined;
  /** The node that holds the standalone stream, if this node has heard of one. */
  followedBy: string | undefined;
  /** HTTP+SSE: true if the node that holds the client's connection was told that this node has requests of the client. */
  announced = false;
  lastUsedAt: number;
  readonly admission = new InboundAdmission();
  private readonly upkeep: ReplicaUpkeep;
  private readonly calls: RunningCalls;
  private pins = 0;
  private held = 0;
  /** Requests that were cancelled before they were among `calls`. A cancellation may overtake the commit of its request. */
  private readonly cancelledEarly = new Set<RequestId>();
  /** Called once, when the session is idle the next time. */
  onIdle: (() => void) | undefined;
  private warnedAt: number | undefined;
  /** Set while `initialize` is being answered. */
  private initializeExchange: InitializeExchange | undefined;

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

  /** The record's revision that the replica has been brought to, or `undefined` without a replica. */
  get revision(): Revision | undefined {
    return this.upkeep.revision;
  }

  get running(): number {
    return this.calls.size;
  }

  /** True if a request of the session runs, or a step of it is under way. */
  get busy(): boolean {
    return this.pins > 0 || this.calls.size > 0;
  }

  /** True if no request runs or is under way, and the server waits for no answer. Open streams do not count. */
  get idle(): boolean {
    const { busy, held, transport } = this;
    return !busy && held === 0 && (transport?.waiting ?? 0) === 0;
  }

  get transport(): ReplicaTransport | undefined {
    return this.upkeep.transport;
  }

  /** Keeps the session from being idle until the returned function is called, for work that is no call, such as a task. */
  hold(): () => void {
    this.held += 1;
    return () => {
      this.held -= 1;
      this.used();
    };
  }

  /** Keeps the session busy until the returned function is called. Further calls of that function do nothing. */
  pin(): () => void {
    this.pins += 1;
    let pinned = true;
    return () => {
      if (!pinned) return;
      pinned = false;
      this.pins -= 1;
      if (this.pins === 0) this.cancelledEarly.clear();
      this.used();
    };
  }

  /** Notes that the session was in use, and calls `onIdle` if it is idle now. */
  used(): void {
    this.lastUsedAt = this.node.clock.elapsed();
    if (!this.idle) return;
    const { onIdle } = this;
    this.onIdle = undefined;
    onIdle?.();
  }

  /**
   * Builds the replica of a new session, which answers the client's `initialize`. `store` then stores the session and the
   * answer. The client must not learn of the session before that. If the factory, the server or `store` fails, the replica
   * is discarded, and the promise rejects with that error.
   */
  async beginWith(
    initializeExchange: InitializeExchange,
    context: { session: SessionInfo; authInfo: AuthInfo | undefined },
    delivery: DeliveryContext,
    store: (initializeExchange: InitializeExchange) => Promise<void>,
  ): Promise<void> {
    this.initializeExchange = initializeExchange;
    const unpin = this.pin();
    try {
      const { requestInfo, mounted } = delivery;
      const factoryContext = { ...context, rehydrated: false, requestInfo };
      const transport = await this.upkeep.begin(factoryContext, mounted);
      const answered = initializeExchange.answered();
      answered.catch(() => undefined); // `deliver` may throw before `answered` is awaited
      transport.deliver(initializeExchange.request, delivery);
      await answered;
      await store(initializeExchange);
      this.upkeep.begun(initializeExchange.request);
      initializeExchange.succeed();
    } catch (error) {
      initializeExchange.failed(error);
      await this.end();
      throw error;
    } finally {
      this.initializeExchange = undefined;
      unpin();
    }
  }

  /** See {@link ReplicaUpkeep.prepare}. */
  prepare(record: SessionRecord | undefined, cause: Cause | undefined): Promise<void> {
    return this.upkeep.prepare(record, cause);
  }

  /** Whether all requests of a stream run on this node, or may be about to run, or have answers that are being stored. */
  mayRun(stream: string): boolean {
    const running = this.calls.all().filter((call) => call.stream === stream);
    const [first] = running;
    return first === undefined ? this.pins > 0 : running.length === first.batch.size;
  }

  /** Whether this request of a stream runs on this node. */
  runs(id: RequestId, stream: string): boolean {
    return this.calls.get(id)?.stream === stream;
  }

  /** The streams of the requests that run on this node. */
  streams(): string[] {
    return [...new Set(this.calls.all().map(({ stream }) => stream))];
  }

  /** Stops the requests of a stream that another node runs now. Later messages of the server about them are dropped. */
  executionLost(stream: string): void {
    for (const { request } of this.calls.all().filter((call) => call.stream === stream)) {
      this.calls.take(request.id);
      this.node.telemetry?.count('fenced');
      this.node.telemetry?.requestEnded({ stream, id: request.id }, undefined, 'execution_lost');
      this.transport?.deliver({
        jsonrpc: '2.0',
        method: 'notifications/cancelled',
        params: { requestId: request.id, reason: 'Another node has taken the request over' },
      });
    }
  }

  /**
   * Adds requests to the running calls before their replica is ready, so that cancellations find them. If it had to stop
   * former requests with the same ids, it returns a promise. The caller has to wait for that before it delivers the new
   * requests: the server needs a turn of the event loop to cancel the former ones, and would otherwise cancel the new ones.
   */
  expect(
    requests: JsonRpcRequest[],
    stream: string,
    shown?: Call['shown'],
  ): Promise<void> | undefined {
    let stops = false;
    const batch = { size: requests.length, open: requests.length };
    for (const request of requests) {
      // A failover has lost the former request with this id. Its handler's answer must not answer the new request.
      const former = this.calls.get(request.id);
      if (former !== undefined) {
        this.executionLost(former.stream);
        stops = true;
      }
      this.calls.add({ request, stream, shown, batch });
      if (this.cancelledEarly.delete(request.id)) this.cancelled(request.id);
    }
    return stops ? new Promise((resolve) => setImmediate(resolve)) : undefined;
  }

  /** Hands a request to the replica, which runs it. A request that was cancelled meanwhile is not run. */
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
      const { telemetry } = this.node;
      if (telemetry === undefined) transport.deliver(request, context);
      else {
        const name = { stream: call.stream, id: request.id };
        telemetry.runWithin(name, () => transport.deliver(request, context));
      }
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

  /** Ends requests that cannot run. If `why` is the server's refusal of the replay, the client gets that error. */
  async fail(requests: JsonRpcRequest[], why?: unknown): Promise<void> {
    for (const { id } of requests) {
      const call = this.calls.take(id);
      const response = notBuilt(id, why);
      if (call !== undefined) await this.finish(call, response);
    }
  }

  /** Ends all running requests, each with its error. */
  async failAll(errorOf: (id: RequestId) => JsonRpcResponse): Promise<void> {
    const calls = this.calls.takeAll();
    await Promise.all(
      calls.map((call) => {
        const { id } = call.request;
        return this.finish(call, errorOf(id), [failed(id, call.stream, this.node.nodeId)]);
      }),
    );
  }

  /** Stores the end of a request that was taken out of `calls`. Without a response, the request ends without an answer. */
  private async finish(
    call: Call,
    given: JsonRpcResponse | undefined,
    notes?: NoteOperation[],
  ): Promise<void> {
    const { request, stream } = call;
    const unpin = this.pin();
    let told = given;
    let failure: string | undefined = 'not_stored';
    try {
      const turn = answerTurns.next();
      if (turn !== undefined) await turn;
      const { response, message } = answerTurns.write(() => serialized(this.node, request, given));
      const effect = effectOfAnswer(request, response);
      const end = endOf(stream, request.id, message, {
        ...(effect !== undefined && { effect }),
        ...(response !== undefined && isFailure(response) && { failed: true }),
      });
      const stored = await this.append(end, true, notes);
      told = response;
      if (stored === 'taken') this.node.telemetry?.count('fenced');
      failure =
        stored === 'gone' ? 'session_ended' : stored === 'taken' ? 'execution_lost' : undefined;
      call.batch.open -= 1;
      if (typeof stored === 'object') {
        // All requests are answered, and the stream is still open: a failover has lost an answer.
        if (call.batch.open === 0 && !stored.ended)
          this.node.notices.answeredButOpen(this.id, stream);
        if (effect !== undefined) await this.upkeep.took(effect, stored.revision, call.revision);
      } else if (effect !== undefined && stored !== 'gone') {
        this.upkeep.mayHaveTaken(effect);
      }
    } finally {
      this.node.telemetry?.requestEnded({ stream, id: request.id }, told, failure);
      unpin();
    }
  }

  /** Hands a message that is no request to the replica. Without a replica, the message is dropped. */
  deliver(message: JsonRpcMessage, context?: DeliveryContext): void {
    this.lastUsedAt = this.node.clock.elapsed();
    this.upkeep.deliver(message, context);
    if (isNotification(message) && message.method === 'notifications/cancelled') {
      this.cancelled(message.params?.requestId as RequestId);
    }
  }

  /** Ends a request that the client has cancelled: without an answer, or in JSON mode, which needs one, with an error. */
  private cancelled(id: RequestId): void {
    const call = this.calls.take(id);
    // The specification forbids the cancellation of `initialize`, which is never among `calls`.
    if (call === undefined) {
      if (this.pins > 0) this.cancelledEarly.add(id);
      return;
    }
    const answer = answerToCancelled(this.node, id, call.stream);
    void this.finish(call, answer).catch(ignoreClosed);
  }

  private eventsOf(replica: () => BuiltReplica): ReplicaEvents {
    return {
      emit: (message, relatedTo, httpAnswer) => this.emit(message, relatedTo, httpAnswer),
      undelivered: (method, why) => this.warnOf(method, why),
      closed: () => this.onClosed(replica()),
    };
  }

  /** Warns once a second at most, because a server may report progress of an ended call all the time. */
  private warnOf(method: string, why: unknown): void {
    const now = this.node.clock.elapsed();
    if (this.warnedAt !== undefined && now - this.warnedAt < 1000) return;
    this.warnedAt = now;
    this.node.logger.warn(`mcp-anynode: ${method} was not delivered: ${String(why)}`);
  }

  /** Stores a message of the server, and shows it. */
  private async emit(
    given: JsonRpcMessage,
    relatedTo: RequestId | undefined,
    httpAnswer: HttpAnswer | undefined,
  ): Promise<void> {
    const { telemetry } = this.node;
    const isQuestion = telemetry !== undefined && isRequest(given);
    const message = isQuestion ? telemetry.questionAsked(given, this.id) : given;
    if (this.initializeExchange !== undefined) {
      if (this.initializeExchange.take(message, relatedTo, httpAnswer)) return;
      await this.initializeExchange.stored; // the message came after the answer, and is stored like any other
      if (isResponse(message)) return; // a second answer to `initialize`
    }
    if (isResponse(message)) return this.answer(message);
    const call = relatedTo === undefined ? undefined : this.calls.get(relatedTo);
    if (relatedTo !== undefined && call === undefined) throw noConnection(relatedTo);
    if (call !== undefined && wasShown(call, message)) return;
    // A JSON response cannot carry other messages, so the standalone stream does.
    const stream =
      call === undefined || this.node.settings.responseMode === 'json'
        ? STANDALONE
        : shownOn(call.stream);
    const operation: AppendOperation = {
      ...{ type: 'append', stream, message: JSON.stringify(message) },
      // Only mark requests whose id this node issued. For other ids, the liveness of the issuing node decides.
      ...(isRequest(message) && nodeOf(message.id) === this.node.nodeId && { asks: true }),
      ...(stream === STANDALONE && this.conditionOf(call)),
    };
    const stored = await this.append([operation], false);
    if (stored === 'gone') throw sessionEnded();
    if (call !== undefined && stored === 'taken') throw noConnection(relatedTo);
  }

  /** The condition under which a message is stored: no other node has taken the request, or owns the session. */
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
   * Stores a message, and hands it to its follower if that is on this node. The outcome is that of the first operation:
   *
   * - an object, if the message was stored now: the record's revision, and whether the stream has ended;
   * - `gone`: the session has ended;
   * - `taken`: another node runs the request now, or a failover has lost the request;
   * - `undefined`: the message was stored by an earlier try, or its request has ended.
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
        // With `unbegun`, the stream is assigned to this node, but the step did not begin it: another node owns the session.
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
   * Hands over the message that changed the record to `revision`. The server gets `initialized` only once: an earlier request
   * may have brought the replica to the record, and so replayed it.
   */
  deliverChange(message: JsonRpcMessage, revision: Revision, context?: DeliveryContext): void {
    if (!isInitialized(message) || !this.upkeep.known.active) this.deliver(message, context);
    this.upkeep.advanceTo(revision);
  }

  /** Brings the replica up to date after another node has changed the shape. After a failure, the next request does it. */
  async reshaped(revision: Revision, message: JsonRpcMessage | undefined): Promise<void> {
    // A replica that is being built may lack the change, and may be the one that has to handle the message.
    await this.upkeep.settled();
    if (!this.hasReplica) return;
    if (message !== undefined) {
      this.deliverChange(message, revision);
    }
    if (this.revision !== revision) await this.upkeep.refresh();
  }

  /** Ends the calls of a server that has closed itself, with an error. The next request gets a new replica. */
  private onClosed(replica: BuiltReplica): void {
    if (!this.upkeep.isCurrent(replica)) return;
    this.initializeExchange?.failed(new Error('The server closed before it answered'));
    this.upkeep.drop();
    for (const call of this.calls.takeAll()) {
      const { id } = call.request;
      const response = errorResponse(id, ErrorCode.ConnectionClosed, 'Connection closed');
      void this.finish(call, response).catch(ignoreClosed);
    }
  }

  /** Discards the replica. The session may get another one. */
  async evict(): Promise<void> {
    await this.upkeep.drop()?.discard();
  }

  /** Discards the replica for good: the session has ended, or this node closes or gives the session up. */
  async end(): Promise<void> {
    this.upkeep.end();
    for (const { request, stream } of this.calls.takeAll())
      this.node.telemetry?.requestEnded({ stream, id: request.id }, undefined, 'session_ended');
    await this.evict();
  }
}

function noConnection(id: RequestId | undefined): Error {
  return new Error(`No connection established for request ID: ${String(id)}`);
}

/** Ignores the error of a commit queue that was closed. The requests of this node are orphans then. */
function ignoreClosed(): void {
  // Nothing to do.
}
