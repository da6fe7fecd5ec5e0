import { setImmediate } from 'node:timers';
import type { NoteOperation, SessionRecord } from '../backplane/backplane.js';
import type { Revision } from '../backplane/revision.js';
import type {
  JsonRpcMessage,
  JsonRpcRequest,
  JsonRpcResponse,
  RequestId,
} from '../protocol/json/jsonrpc.js';
import { isInitialized, isNotification, isResponse } from '../protocol/json/jsonrpc.js';
import { sessionEnded } from '../protocol/errors.js';
import type { BuiltReplica, ReplicaBuilder } from './build-replica.js';
import { InboundAdmission } from './requests/inbound-admission.js';
import type { InitializeExchange } from './initialize/initialize-exchange.js';
import type { Call, RunningCount } from './requests/running-calls.js';
import { RunningCalls, wasShown } from './requests/running-calls.js';
import {
  answerToCancelled,
  failed,
  notBuilt,
  serverClosed,
  takenOver,
} from './requests/request-errors.js';
import type { NodeContext } from '../stream/node-context.js';
import type { Cause, DeliveryContext, ReplicaEvents } from './replica.js';
import { mayBeRefused, refusalOf } from './session-shape.js';
import { EarlyCalls } from './requests/early-calls.js';
import { failureOf, ignoreClosed, noConnection, ServerMessages } from './server-messages.js';
import { SessionUse } from './session-use.js';
import type { ReplicaTransport } from './replica-transport.js';
import { ReplicaUpkeep } from './replica-upkeep.js';
import type { AuthInfo, SessionInfo } from '../options/public-types.js';
import { Cursors } from '../stream/cursor.js';

const SUBSCRIBE = 'resources/subscribe';

/** A session that has a replica on this node, or is about to need one. */
export class LiveSession {
  /** Writes and reads the cursors of this session. */
  readonly cursors: Cursors;
  /** The principal of the session, if this node has learned it. It never changes. */
  principal: string | undefined;
  /** The node whose connection holds the standalone stream, if this node has been told of one. */
  followedBy: string | undefined;
  /**
   * HTTP+SSE: when the node that holds the client's connection was told that this node has requests of the client, by
   * `clock.elapsed()`.
   */
  announcedAt: number | undefined;
  lastUsedAt: number;
  readonly admission = new InboundAdmission();
  private readonly upkeep: ReplicaUpkeep;
  private readonly calls: RunningCalls;
  private readonly messages: ServerMessages;
  readonly early: EarlyCalls;
  private readonly use = new SessionUse();
  /** Requests that were cancelled before they were among `calls`. A cancellation may overtake the commit of its request. */
  private readonly cancelledEarly = new Set<RequestId>();
  /** Called once, when the session is idle the next time. */
  onIdle: (() => void) | undefined;
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
    this.messages = new ServerMessages(id, node);
    this.early = new EarlyCalls(this.calls, node.settings.limits, {
      transport: () => this.transport,
      run: (request, context) => this.call(request, context),
    });
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

  /** True if a request of the session runs here, or a step for the session is under way (see `pin`). */
  get busy(): boolean {
    return this.use.isPinned || this.calls.size > 0;
  }

  /** True if the session is not busy, no work holds it, and the server waits for no answer. Open streams do not count. */
  get idle(): boolean {
    const { busy, use, transport } = this;
    return !busy && !use.isHeld && (transport?.waiting ?? 0) === 0;
  }

  get transport(): ReplicaTransport | undefined {
    return this.upkeep.transport;
  }

  /** Keeps the session from being idle until the returned function is called, for work that is no call, such as a task. */
  hold(): () => void {
    return this.use.hold(() => this.used());
  }

  /** Keeps the session busy until the returned function is called. Further calls of that function do nothing. */
  pin(): () => void {
    return this.use.pin(() => {
      if (!this.use.isPinned) this.cancelledEarly.clear();
      this.used();
    });
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
      this.upkeep.begun(initializeExchange);
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
    const running = this.calls.ofStream(stream);
    const [first] = running;
    return first === undefined ? this.use.isPinned : running.length === first.batch.size;
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
    for (const { request } of this.calls.ofStream(stream)) {
      this.calls.take(request.id);
      this.node.telemetry?.count('fenced');
      this.node.telemetry?.requestEnded({ stream, id: request.id }, undefined, 'execution_lost');
      this.transport?.deliver(takenOver(request.id));
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
      // The id is free in the backplane, so a failover has lost the former request. Its answer must not answer the new one.
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
    const { known } = this.upkeep;
    const refusal = mayBeRefused(request)
      ? refusalOf(request, known, this.calls.withMethod(SUBSCRIBE), this.node.settings.limits)
      : undefined;
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
        const run = (): void => transport.deliver(request, context);
        telemetry.runWithin(name, run, known.protocolVersion);
      }
    } catch (error) {
      this.node.logger.error(`mcp-anynode: a request could not be run: ${String(error)}`);
      void this.fail([request]).catch(ignoreClosed);
    }
  }

  /** Ends requests that cannot run. If `why` is the server's refusal of the replay, the client gets that error. */
  async fail(requests: JsonRpcRequest[], why?: unknown): Promise<void> {
    for (const { id } of requests) {
      const call = this.calls.take(id);
      if (call !== undefined) await this.finish(call, notBuilt(id, why));
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
      const { lastSaid } = this.early;
      if (lastSaid !== undefined) await lastSaid;
      const { stored, response, effect } = await this.messages.end(call, given, notes);
      told = call.cancelled === true ? undefined : response;
      failure = failureOf(stored);
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
      if (failure !== 'withdrawn')
        this.node.telemetry?.requestEnded({ stream, id: request.id }, told, failure);
      else if (call.cancelled === true) this.cancelled(request.id); // it may be about to run again
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

  /** Ends a request that the client has cancelled. On an event stream it gets no answer, and in JSON mode an error. */
  private cancelled(id: RequestId): void {
    const call = this.calls.take(id);
    // The specification forbids the cancellation of `initialize`, which is never among `calls`.
    if (call === undefined) {
      if (this.use.isPinned) this.cancelledEarly.add(id);
      return;
    }
    call.cancelled = true;
    const answer = answerToCancelled(this.node, id, call.stream);
    void this.finish(call, answer).catch(ignoreClosed);
  }

  private eventsOf(replica: () => BuiltReplica): ReplicaEvents {
    return {
      emit: (message, relatedTo, httpAnswer) =>
        this.emit(this.messages.observed(message, replica().transport), relatedTo, httpAnswer),
      undelivered: (method, why) => this.messages.warnUndelivered(method, why),
      closed: () => this.onClosed(replica()),
    };
  }

  /** Stores a message of the server, and shows it. */
  private async emit(...args: Parameters<ReplicaEvents['emit']>): Promise<void> {
    const [message, relatedTo, httpAnswer] = args;
    if (this.initializeExchange !== undefined) {
      if (this.initializeExchange.take(message, relatedTo, httpAnswer)) return;
      await this.initializeExchange.stored; // the message came after the answer, and is stored like any other
      if (isResponse(message)) return; // a second answer to `initialize`
    }
    this.early.observe(message);
    if (isResponse(message)) return this.answer(message);
    const call = this.calls.delivered(relatedTo);
    if (relatedTo !== undefined && call === undefined) throw noConnection(relatedTo);
    if (call !== undefined && wasShown(call, message)) return;
    const stored = await this.early.inOrder(call, () => this.messages.store(message, call?.stream));
    if (stored === 'gone') throw sessionEnded();
    if (stored === 'withdrawn') throw noConnection(relatedTo);
    if (stored === 'executionLost' && call !== undefined) throw noConnection(relatedTo);
  }

  private answer(response: JsonRpcResponse): Promise<void> {
    const call = this.calls.delivered(response.id) && this.calls.take(response.id);
    if (call === undefined) throw noConnection(response.id);
    return this.finish(call, response);
  }

  /**
   * Hands the replica the message that gave the record its `revision`. If the replica has already got `initialized` in a
   * replay, because an earlier request brought it up to the record, it does not get that message again.
   */
  deliverChange(message: JsonRpcMessage, revision: Revision, context?: DeliveryContext): void {
    if (!isInitialized(message) || !this.upkeep.known.active) this.deliver(message, context);
    this.upkeep.advanceTo(revision);
  }

  /** Brings the replica up to date after another node has changed the shape. After a failure, the next request does it. */
  async reshaped(revision: Revision, message: JsonRpcMessage | undefined): Promise<void> {
    // A replica that is still being built may lack the change. It also has to get the message.
    await this.upkeep.settled();
    if (!this.hasReplica) return;
    if (message !== undefined) this.deliverChange(message, revision);
    if (this.revision !== revision) await this.upkeep.refresh();
  }

  /** Ends the calls of a server that has closed itself, with an error. The next request gets a new replica. */
  private onClosed(replica: BuiltReplica): void {
    if (!this.upkeep.isCurrent(replica)) return;
    this.initializeExchange?.failed(new Error('The server closed before it answered'));
    this.upkeep.drop();
    for (const call of this.calls.takeAll())
      void this.finish(call, serverClosed(call.request.id)).catch(ignoreClosed);
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
