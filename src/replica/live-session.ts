import { setImmediate } from 'node:timers';
import type {
  AppendOperation,
  Effect,
  NoteOperation,
  SessionRecord,
} from '../backplane/backplane.js';
import { STANDALONE } from '../backplane/backplane.js';
import type { Revision } from '../backplane/revision.js';
import { FIRST_REVISION, follows, isLower, UNKNOWN_REVISION } from '../backplane/revision.js';
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
import type { Shape } from './session-shape.js';
import {
  effectOfAnswer,
  mayBeRefused,
  refusalOf,
  shapeOf,
  unlike,
  UNSHAPED,
  withEffect,
  withoutEffect,
} from './session-shape.js';
import { deliverToFollowers } from '../stream/deliver-to-followers.js';
import type { ReplicaTransport } from './replica-transport.js';
import { endOf, shownOn } from '../stream/shown-on.js';
import type { AuthInfo, SessionInfo } from '../options/types.js';
import { Cursors } from '../stream/cursor.js';

/** A session of which this node has a replica, is building one, or is about to need one. */
export class LiveSession {
  /** The record's revision that the replica has been brought to; `undefined`: there is no replica. */
  revision: Revision | undefined;
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
  private replica: BuiltReplica | undefined;
  private shape: Shape = UNSHAPED;
  /** Changes that the server has carried out, though `shape` may not have them: the record is replayed in what they decide. */
  private uncertain: Effect[] = [];
  /** The server is being told what it has missed. What it carries out meanwhile may come before that, or after it. */
  private isCatchingUp = false;
  /** Building, or catching up: one at a time, and what comes meanwhile waits its turn. */
  private settling: Promise<void> = Promise.resolve();
  private readonly calls: RunningCalls;
  private failure: { at: number; error: unknown } | undefined;
  private pins = 0;
  private held = 0;
  /** Cancelled before they were known here: the word of it may come before the request was read, or its commit answered. */
  private readonly givenUp = new Set<RequestId>();
  private ended = false;
  /** Called when it is idle next, once. */
  onIdle: (() => void) | undefined;
  private warnedAt: number | undefined;
  /** While `initialize` is being answered. */
  private birth: InitializeExchange | undefined;

  constructor(
    readonly id: string,
    private readonly node: NodeContext,
    private readonly builder: ReplicaBuilder,
    running: RunningCount,
  ) {
    this.lastUsedAt = node.clock.elapsed();
    this.cursors = new Cursors(id);
    this.calls = new RunningCalls(running);
  }

  get hasReplica(): boolean {
    return this.replica !== undefined;
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
    return this.replica?.transport;
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
    let replica: BuiltReplica | undefined;
    try {
      const { requestInfo } = delivery;
      const told = { ...context, rehydrated: false, requestInfo };
      replica = await this.builder.connect(told, (built) => this.eventsOf(built));
      this.replica = replica;
      const answered = birth.answered();
      answered.catch(() => undefined); // what comes between may fail first
      replica.transport.deliver(birth.request, delivery);
      await answered;
      await store(birth);
      this.revision = FIRST_REVISION;
      this.shape = { ...UNSHAPED, initialize: JSON.stringify(birth.request.params ?? {}) };
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

  /**
   * Makes sure that there is a replica which knows all that `record` says. Shared: concurrent callers wait for the same
   * one. Rejects where the factory or the server fails, or when the session ended meanwhile.
   */
  async prepare(record: SessionRecord | undefined, cause: Cause | undefined): Promise<void> {
    if (record === undefined && this.replica !== undefined) return;
    const asked = this.node.clock.elapsed();
    const turn = this.settling.then(() => this.settleOnce(asked, record, cause));
    this.settling = turn.catch(() => undefined);
    await turn;
  }

  /** Whoever asked before an attempt failed has had that attempt: one that hangs is not waited for once per caller. */
  private async settleOnce(
    asked: number,
    record: SessionRecord | undefined,
    cause: Cause | undefined,
  ): Promise<void> {
    if (this.failure !== undefined && this.failure.at > asked) throw this.failure.error;
    try {
      await this.settle(record, cause);
    } catch (error) {
      this.failure = { at: this.node.clock.elapsed(), error };
      throw error;
    }
  }

  private async settle(record: SessionRecord | undefined, cause: Cause | undefined): Promise<void> {
    this.throwIfEnded();
    if (this.replica === undefined) {
      // None any more, though there was one when the caller asked: what it was told is not what we need.
      const needed = record ?? (await this.load());
      if (needed === undefined) throw sessionEnded();
      this.throwIfEnded();
      const replica = await this.builder.rehydrate(needed, cause, (built) => this.eventsOf(built));
      if (this.isEnded()) {
        await replica.discard();
        this.throwIfEnded();
      }
      this.replica = replica;
      this.shape = shapeOf(needed);
      this.revision = needed.revision;
    } else if (record !== undefined && record.revision !== this.revision) {
      await this.catchUpWith(this.replica, record);
    }
  }

  private async catchUpWith(replica: BuiltReplica, record: SessionRecord): Promise<void> {
    // An older one was read earlier; or the backplane has lost the later ones (a failover), and then it counts.
    const isOlder = isLower(record.revision, this.revision ?? UNKNOWN_REVISION);
    const current = isOlder ? await this.load() : record;
    if (current === undefined || this.replica !== replica) return;
    const shape = shapeOf(current);
    const told = this.shape;
    // The server hears at once that its client is initialized: what comes while the server hears the rest must not say so again.
    if (shape.active && told.initialize !== undefined) this.shape = { ...told, active: true };
    const { uncertain } = this;
    const differs = uncertain.reduce((from, effect) => unlike(from, shape, effect), told);
    this.isCatchingUp = true;
    try {
      await this.builder.replayShape(replica.transport, differs, shape);
    } finally {
      this.isCatchingUp = false;
    }
    this.uncertain = this.uncertain.filter((effect) => !uncertain.includes(effect));
    // Handed to the server once, `initialized` is not to come again.
    this.shape = { ...shape, active: shape.active || this.shape.active };
    this.revision = this.uncertain.length > 0 ? UNKNOWN_REVISION : current.revision;
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
      this.replica?.transport.deliver({
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
      if (this.replica === undefined) throw new Error('its replica was discarded');
      this.replica.transport.deliver(request, context);
    } catch (error) {
      this.node.logger.error(`mcp-anynode: a request could not be run: ${String(error)}`);
      void this.fail([request]).catch(ignoreClosed);
    }
  }

  private refusalOf(request: JsonRpcRequest): JsonRpcResponse | undefined {
    if (!mayBeRefused(request)) return undefined;
    const running = this.calls.withMethod('resources/subscribe');
    return refusalOf(request, this.shape, running, this.node.settings.limits);
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
        if (effect !== undefined) await this.took(effect, stored.revision, call);
      } else if (effect !== undefined && stored !== 'gone' && this.replica !== undefined) {
        this.mayHaveTaken(effect);
      }
    } finally {
      unpin();
    }
  }

  /** The replica has carried out what the session now remembers, as its `revision`. */
  private async took(effect: Effect, revision: Revision, call: Call): Promise<void> {
    const { replica } = this;
    // This replica has been brought to the record with the change in it, or is none any more.
    if (replica === undefined || this.revision === revision) return;
    // Another node's change was replayed after the replica had carried this one out: this one is the later.
    if (call.revision !== this.revision) {
      const shape = withEffect(this.shape, effect);
      await this.builder.replayShape(replica.transport, withoutEffect(shape, effect), shape);
      if (this.replica !== replica) return;
    }
    // The replica may have been told more while that was replayed.
    this.shape = withEffect(this.shape, effect);
    // Else another node has changed something too, before or after this change.
    const isNext = !this.isCatchingUp && follows(this.revision, revision);
    if (isNext) this.revision = revision;
    else this.mayHaveTaken(effect);
  }

  /** The server has carried the change out. Whether the record has it, and what came after it, the record says. */
  private mayHaveTaken(effect: Effect): void {
    this.uncertain = [...this.uncertain, effect];
    this.revision = UNKNOWN_REVISION;
    this.refresh().catch(() => undefined);
  }

  /** Hands over a message that is no request. One for a replica that is not there any more has no addressee. */
  deliver(message: JsonRpcMessage, context?: DeliveryContext): void {
    this.lastUsedAt = this.node.clock.elapsed();
    if (isInitialized(message)) {
      this.shape = { ...this.shape, active: true };
    }
    try {
      this.replica?.transport.deliver(message, context);
    } catch (error) {
      // Its own affair: what came along with the message, and what follows from it here, goes on.
      this.node.logger.error(`mcp-anynode: the server threw at a message: ${String(error)}`);
    }
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
    if (!isInitialized(message) || !this.shape.active) this.deliver(message, context);
    if (follows(this.revision, revision)) this.revision = revision;
  }

  /** The session's shape has changed elsewhere. A failure is made good with the next request. */
  async reshaped(revision: Revision, message: JsonRpcMessage | undefined): Promise<void> {
    // One that is being built may have missed it, or may be the one that is to handle the message.
    await this.settling;
    if (this.replica === undefined) return;
    if (message !== undefined) {
      this.deliverChange(message, revision);
    }
    if (this.revision !== revision) await this.refresh();
  }

  /** Brings the replica to the record as it is now. A failure is made good with the next request. */
  private async refresh(): Promise<void> {
    const record = await this.load();
    if (record !== undefined && this.hasReplica) await this.prepare(record, undefined);
  }

  private async load(): Promise<SessionRecord | undefined> {
    const { membership, settings, nodeId } = this.node;
    const record = await membership.load(this.id);
    if (record === undefined) this.node.notices.ended(this.id);
    else if (settings.owned && record.owner !== nodeId) this.node.notices.disowned(this.id);
    return record;
  }

  /** The server closed itself: what it was doing ends with an error, and the next request gets a new replica. */
  private onClosed(replica: BuiltReplica): void {
    if (this.replica !== replica) return;
    this.birth?.failed(new Error('The server closed before it answered'));
    this.drop();
    for (const call of this.calls.takeAll()) {
      const { id } = call.request;
      const response = errorResponse(id, ErrorCode.ConnectionClosed, 'Connection closed');
      void this.finish(call, response).catch(ignoreClosed);
    }
  }

  /** Discards the replica; the session may get another one. */
  async evict(): Promise<void> {
    await this.drop()?.discard();
  }

  /** The session has ended, or this node has. */
  async end(): Promise<void> {
    this.ended = true;
    this.calls.takeAll();
    await this.evict();
  }

  private drop(): BuiltReplica | undefined {
    const { replica } = this;
    this.replica = undefined;
    this.revision = undefined;
    this.shape = UNSHAPED;
    this.uncertain = [];
    return replica;
  }

  private isEnded(): boolean {
    return this.ended;
  }

  private throwIfEnded(): void {
    if (this.ended) throw sessionEnded();
  }
}

function noConnection(id: RequestId | undefined): Error {
  return new Error(`No connection established for request ID: ${String(id)}`);
}

/** This node closes: what was not stored is lost with it, and its requests are orphans. */
function ignoreClosed(): void {
  // Nothing to do.
}
