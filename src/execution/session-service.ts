import type {
  NewSession,
  NodeMessageOf,
  Operation,
  Position,
  StreamName,
} from '../backplane/backplane.js';
import type { Revision } from '../backplane/revision.js';
import type { JsonRpcMessage, JsonRpcRequest } from '../protocol/jsonrpc.js';
import { isNotification, isRequest } from '../protocol/jsonrpc.js';
import { parseStoredMessage } from '../protocol/parse-stored.js';
import { isSessionEnded } from '../protocol/errors.js';
import type { Run } from './assignments.js';
import { Assignments } from './assignments.js';
import { InitializeExchange, hearsOf } from '../replica/initialize/initialize-exchange.js';
import { SessionInbox } from './session-inbox.js';
import { SessionAccess } from './session-access.js';
import { LiveSession } from '../replica/live-session.js';
import { unpackContext } from './delivery-context.js';
import { nodeLost } from '../replica/requests/request-errors.js';
import { loggedInitialize } from '../replica/initialize/logged-initialize.js';
import { CatchUp } from './recovery/catch-up.js';
import { EndOrRerun } from './recovery/end-or-rerun.js';
import { Ownership } from './ownership.js';
import { ReplicaPool } from '../replica/replica-pool.js';
import { SessionQuotas } from './session-quotas.js';
import type { CommitOutcome } from './commit-outcome.js';
import { commitOutcome, recordFor } from './commit-outcome.js';
import { announcement, idInUse, introduced, reserveSession } from './reserved-sessions.js';
import { isAnswer, isHere, isInitialized, receive } from './client-message-routing.js';
import type { SessionNode } from '../replica/session-node.js';
import type { Cursors } from '../stream/cursor.js';
import type { DeliveryContext } from '../replica/replica.js';
import type { AuthInfo } from '../options/types.js';

/** A POST of one session, as it came in. */
export interface Inbound {
  sessionId: string;
  /** The caller's identity in the backplane's own form. */
  principal: string;
  messages: JsonRpcMessage[];
  /** The body as it came, where it is one message alone. */
  text: string | undefined;
}

export interface Opened {
  /** Where the stream begins. */
  position: Position;
  cursors: Cursors;
  /** Gives the stream up, where nobody can follow it. Either this or `run` has to be called. */
  abandon(): void;
  /** Another node is to run the requests, and has to be told of them. */
  owner: string | undefined;
  /**
   * Hands the messages to the replica, which is built where there is none; what is for another node is sent there, but
   * for requests that have an `owner`. To be called once somebody follows.
   */
  run(context: DeliveryContext): void;
}

/** All sessions that this node has something to do with. */
export class SessionService {
  readonly orphaned: EndOrRerun;
  readonly ownership: Ownership;
  readonly callers: SessionAccess;
  private readonly pool: ReplicaPool;
  private readonly missed: CatchUp;
  private readonly quotas: SessionQuotas;
  private readonly inbox: SessionInbox;
  private readonly assignments: Assignments;

  constructor(private readonly node: SessionNode) {
    this.pool = new ReplicaPool(node);
    this.callers = new SessionAccess(node, this.pool);
    this.quotas = new SessionQuotas(node.clock);
    this.orphaned = new EndOrRerun(node, this.pool);
    this.ownership = new Ownership(node, this.pool);
    const { pool, ownership, orphaned } = this;
    const run: Run = (...args) => this.run(...args);
    this.assignments = new Assignments(node, { pool, ownership, orphaned, run });
    const hand: ConstructorParameters<typeof SessionInbox>[1] = (sessionId, text, context) => {
      const message = parseStoredMessage(text);
      if (message === undefined) throw new Error('it is not a message');
      const unpacked = context && unpackContext(node, context, sessionId, undefined);
      this.deliver(sessionId, message, unpacked || undefined);
    };
    this.inbox = new SessionInbox(node, hand, () => {
      this.catchUp().catch(() => undefined); // this node has closed
    });
    this.missed = new CatchUp(node, {
      busy: () => [...this.running().keys()],
      verify: () => ownership.verify(),
      deliver: (sessionId, message) => this.deliver(sessionId, message),
    });
  }

  /** What there is of a session on this node. */
  find(sessionId: string): LiveSession | undefined {
    return this.pool.get(sessionId);
  }

  /** Sessions with a replica on this node. */
  get replicas(): number {
    return this.pool.replicas;
  }

  withReplica(): string[] {
    return this.pool
      .all()
      .filter(({ hasReplica }) => hasReplica)
      .map(({ id }) => id);
  }

  /** Streams whose requests run on this node, by session. */
  running(): Map<string, string[]> {
    const busy = this.pool.all().filter((live) => live.running > 0);
    return new Map(busy.map((live) => [live.id, live.streams()]));
  }

  /** Streams that this node has begun, for which the backplane may take another node after a failover. */
  begun(): StreamName[] {
    const running = [...this.running()].flatMap(([sessionId, streams]) =>
      streams.map((stream) => ({ sessionId, stream })),
    );
    return [
      ...running.filter((stream) => this.hasBegun(stream)),
      ...this.node.begunStreams.of(this.ownership.lately()),
    ];
  }

  /** Whether a stream was given to this node, and it has begun it. */
  hasBegun({ sessionId, stream }: StreamName): boolean {
    return this.node.begunStreams.requestsOf(sessionId, stream).length > 0;
  }

  /** See {@link LiveSession.pin}. */
  pin(sessionId: string): () => void {
    const live = this.pool.of(sessionId);
    const unpin = live.pin();
    return () => {
      unpin();
      this.pool.dropIfEmpty(live);
    };
  }

  /** See {@link LiveSession.mayRun}. */
  mayRun(sessionId: string, stream: string): boolean {
    return this.pool.get(sessionId)?.mayRun(stream) ?? false;
  }

  /** Another node runs the requests of this stream now: what they do here is stopped, and nobody hears of it. */
  taken(sessionId: string, stream: string): void {
    this.pool.get(sessionId)?.taken(stream);
  }

  /** Another node has begun this stream. Should that one die, this node may be given the stream again. */
  forget(sessionId: string, stream: string): void {
    this.node.begunStreams.forget(sessionId, stream);
  }

  /**
   * Answers `initialize`: with a new session where the server agrees, else with the server's error. Resolves when both
   * are stored, so that the next request may reach any node. Rejects like {@link LiveSession.beginWith}.
   */
  async initialize(
    request: JsonRpcRequest,
    session: Pick<NewSession, 'id' | 'principal' | 'most'> & { authInfo: AuthInfo | undefined },
    delivery: DeliveryContext,
  ): Promise<{ birth: InitializeExchange; positions: Position[] }> {
    const { node } = this;
    this.quotas.check(session.principal);
    const live = new LiveSession(session.id, node);
    const birth = new InitializeExchange(request, node.nextName(), node.clock);
    const now = node.clock.now();
    const params = request.params ?? {};
    const info = {
      id: session.id,
      state: 'initialized' as const,
      clientInfo: params.clientInfo as { name: string; version: string },
      clientCapabilities: params.capabilities as Record<string, unknown>,
      protocolVersion: params.protocolVersion as string,
      createdAt: now,
      lastSeenAt: now,
      logLevel: undefined,
      subscriptions: [],
      owner: node.owned ? node.nodeId : undefined,
    };
    let positions: Position[] = [];
    this.pool.makeRoom();
    const context = { session: info, authInfo: session.authInfo };
    await live.beginWith(birth, context, delivery, async ({ answer }) => {
      if (answer === undefined || !('result' in answer)) throw new Refused(birth);
      const initialize = JSON.stringify(params);
      const created = await this.quotas.watch(session.principal, () =>
        node.membership.create({
          id: session.id,
          initialize,
          protocolVersion: String(answer.result.protocolVersion),
          principal: session.principal,
          hears: hearsOf(answer.result.capabilities),
          owned: node.owned,
          inbound: loggedInitialize(request, initialize),
          stream: birth.stream,
          outbound: birth.outbound,
          most: session.most,
        }),
      );
      if (created === false) {
        throw idInUse(session.id);
      }
      positions = created;
      live.principal = session.principal;
      this.pool.add(live);
    });
    this.pool.trim();
    return { birth, positions };
  }

  /**
   * Makes a session whose `initialize` is to come, and to be answered as a request like any other (HTTP+SSE). Rejects
   * with {@link TooManySessions}, and where the id is taken.
   */
  async reserve(session: Pick<NewSession, 'id' | 'principal' | 'most'>): Promise<void> {
    await reserveSession(this.node, this.quotas, session);
  }

  /** Stores a POST with requests and opens its stream. */
  async open(
    inbound: Inbound,
    stream: { name: string; token: string },
    retried = false,
  ): Promise<Opened | 'gone' | 'duplicate' | 'limited'> {
    const { sessionId, principal, messages, text } = inbound;
    const { callers } = this;
    const live = this.pool.of(sessionId);
    const unpin = live.pin();
    try {
      if (callers.mayBeStranger(principal, live) && (await callers.isStranger(principal, live))) {
        return this.lost(live, unpin);
      }
      const requests = messages.filter(isRequest);
      const others = messages.filter((message) => !isRequest(message));
      const { revision } = live;
      const { owned } = this.node;
      const operations: Operation[] = [
        {
          type: 'open',
          principal,
          stream: stream.name,
          token: stream.token,
          requests: requests.map(({ id }) => JSON.stringify(id)),
          messages: requests.map((request) => text ?? JSON.stringify(request)),
          revision,
          owned,
          most: this.node.limits.requestsPerSession,
        },
        ...announcement(this.node, live, stream.name),
        ...others.map((message) =>
          receive(message, JSON.stringify(message), principal, { revision, owned }),
        ),
      ];
      const first = operations.length - others.length;
      const asked = this.node.clock.elapsed();
      const committed = await this.node.commitQueue.submit(sessionId, operations);
      if (committed === 'gone') return this.lost(live, unpin);
      const { results, reply } = committed;
      const [opened] = results;
      if (opened?.status === 'denied') return this.lost(live, unpin);
      live.principal = principal;
      if (opened?.status !== 'opened') {
        unpin();
        this.pool.dropIfEmpty(live);
        const limited = opened?.status === 'limited';
        const refusal = limited ? 'limited' : 'duplicate';
        if (retried || (!limited && opened?.status !== 'duplicate')) return refusal;
        // In use by requests of a dead node, which nobody followed and nobody ended: what they take is free again.
        let ended = false;
        for (const { stream: name, executor } of limited ? opened.running : [opened]) {
          if (await this.node.endDead(sessionId, name, executor)) ended = true;
        }
        // Or the backplane has lost the end of the request that has this id (a failover): then its node ends it.
        if (!limited && !ended && opened.executor !== '') {
          this.node.doubt(sessionId, opened.stream, opened.executor);
        }
        return ended ? await this.open(inbound, stream, true) : refusal;
      }
      if (reply.record !== undefined) live.followedBy = reply.followedBy;
      live.announced = true;
      this.ownership.found(live, committed);
      const here = (message: JsonRpcMessage): boolean =>
        isRequest(message)
          ? opened.owner === undefined
          : isHere(results[first + others.indexOf(message)]);
      return {
        position: opened.position,
        cursors: live.cursors,
        owner: opened.owner,
        abandon: () => {
          const ids = requests.map(({ id }) => JSON.stringify(id));
          const abandon = { type: 'abandon' as const, stream: stream.name, requests: ids };
          this.node.commitQueue.append(sessionId, [abandon], true).catch(() => undefined); // closed
          unpin();
        },
        run: (context) => {
          if (opened.owner === undefined) this.node.begunStreams.noteOpened(stream.name);
          const now = commitOutcome(committed, asked);
          const passed = results.slice(first);
          const passing =
            others.length === 0
              ? undefined
              : this.ownership.passOn(live, others, passed, context, (message) =>
                  this.hand(live, [message], now, context),
                );
          const run = this.run(live, messages.filter(here), stream.name, now, context);
          const leave = (): void => {
            unpin();
            this.pool.dropIfEmpty(live);
          };
          (passing === undefined ? run : Promise.all([run, passing])).then(
            leave,
            (error: unknown) => {
              this.node.logger.error(`mcp-anynode: ${String(error)}`);
              leave();
            },
          );
        },
      };
    } catch (error) {
      unpin();
      this.pool.dropIfEmpty(live);
      throw error;
    }
  }

  private async run(
    live: LiveSession,
    messages: JsonRpcMessage[],
    stream: string,
    reply: CommitOutcome,
    context: DeliveryContext,
  ): Promise<void> {
    if (messages.length === 0) return;
    const requests = messages.filter(isRequest);
    const stopped = live.expect(requests, stream);
    try {
      if (stopped !== undefined) await stopped;
      const record = introduced(recordFor(reply), requests);
      // Nothing is awaited that need not be: what every call does.
      if (record !== undefined || !live.hasReplica) {
        await this.pool.prepare(live, record, context);
      }
      if (this.node.owned && (await this.ownership.isFenced(live, reply.asked))) return;
    } catch (error) {
      if (isSessionEnded(error)) {
        // Nothing is stored of a session that has ended; one that another node owns now has lost these before they began.
        await live.failAll((id) => nodeLost(id, this.node.nodeId));
        return;
      }
      this.node.logger.error(`mcp-anynode: no server for a session: ${String(error)}`);
      await live.fail(requests, error);
      return;
    }
    for (const message of messages) {
      if (isRequest(message)) live.call(message, context);
      else if (reply.initialized && isInitialized(message)) {
        live.deliverChange(message, reply.revision);
      } else this.deliver(live.id, message);
    }
  }

  /** The revision that this node's replica of a session is at, if there is one. */
  revisionOf(sessionId: string): Revision | undefined {
    return this.pool.get(sessionId)?.revision;
  }

  /** See {@link Assignments.assign}. */
  assign(...args: Parameters<Assignments['assign']>): ReturnType<Assignments['assign']> {
    return this.assignments.assign(...args);
  }

  /** Stores messages that ask for nothing, and hands each to whom it concerns. */
  async receive(
    { sessionId, principal, messages, text }: Inbound,
    context: DeliveryContext,
  ): Promise<'received' | 'gone' | 'full'> {
    const { callers } = this;
    if (messages.length === 0) {
      // Nothing to store that could be denied: whether there is such a session is the store's to say all the same.
      return (await callers.owns(principal, sessionId)) ? 'received' : 'gone';
    }
    const live = this.pool.of(sessionId);
    const unpinned = live.pin();
    let leave = (): void => undefined;
    const unpin = (): void => {
      leave();
      unpinned();
    };
    try {
      if (callers.mayBeStranger(principal, live) && (await callers.isStranger(principal, live))) {
        return this.lost(live, unpin);
      }
      const { revision } = live;
      const { owned } = this.node;
      const operations = messages.map((message) =>
        receive(message, text ?? JSON.stringify(message), principal, { revision, owned }),
      );
      const bytes = operations.reduce((sum, { message }) => sum + message.length, 0);
      const admitted = live.admission.take(bytes, live.transport?.backlog?.() ?? 0);
      if (admitted === undefined) {
        unpin();
        // Nobody else learns that there is such a session.
        return (await callers.owns(principal, sessionId)) ? 'full' : 'gone';
      }
      leave = admitted;
      const asked = this.node.clock.elapsed();
      const committed = await this.node.commitQueue.submit(sessionId, operations);
      if (committed === 'gone' || committed.results[0]?.status === 'denied') {
        return this.lost(live, unpin);
      }
      live.principal = principal;
      const { reply, results } = committed;
      const concerned = messages.filter((_, at) => isHere(results[at]));
      const now = commitOutcome(committed, asked);
      if (concerned.length < messages.length) {
        await this.ownership.passOn(live, messages, results, context, (message) =>
          this.hand(live, [message], now, context),
        );
      }
      const needsReplica = concerned.some((message) => !isAnswer(message));
      if (!needsReplica) {
        for (const message of concerned) this.deliver(sessionId, message, context);
        unpin();
        this.pool.dropIfEmpty(live);
        return 'received';
      }
      if (reply.record !== undefined) live.followedBy = reply.followedBy;
      // Stored is acknowledged: the client does not wait for the server to be built.
      void this.hand(live, concerned, now, context).finally(unpin);
      return 'received';
    } catch (error) {
      unpin();
      this.pool.dropIfEmpty(live);
      throw error;
    }
  }

  /** Never rejects. */
  private async hand(
    live: LiveSession,
    messages: JsonRpcMessage[],
    reply: CommitOutcome,
    context: DeliveryContext,
  ): Promise<void> {
    try {
      const record = recordFor(reply);
      if (record !== undefined || !live.hasReplica) {
        await this.pool.prepare(live, record, context);
      }
      for (const message of messages) {
        if (reply.initialized && isInitialized(message)) {
          live.deliverChange(message, reply.revision, context);
        } else this.deliver(live.id, message, context);
      }
    } catch (error) {
      if (isSessionEnded(error)) return;
      this.node.logger.error(`mcp-anynode: a notification was not handled: ${String(error)}`);
    }
  }

  /** A message of the client that another node has stored, or this one. */
  private deliver(sessionId: string, message: JsonRpcMessage, context?: DeliveryContext): void {
    if (!isAnswer(message)) {
      this.pool.get(sessionId)?.deliver(message, context);
      return;
    }
    const id = isNotification(message) ? message.params?.progressToken : message.id;
    this.node.outgoingRequests.find(sessionId, id)?.asker.deliver(message, context);
    // Nothing else may have been going on but that it was waited for.
    this.pool.get(sessionId)?.used();
  }

  /** Messages to this node may have been lost: see {@link CatchUp}. */
  catchUp(): Promise<void> {
    return this.missed.catchUp();
  }

  /** Messages of other nodes. Nothing is awaited: a slow tool must not hold up the answer that it waits for. */
  onDeliver(message: NodeMessageOf<'deliver'>): void {
    this.inbox.onDeliver(message);
  }

  onLogged(message: NodeMessageOf<'logged'>): void {
    this.inbox.onLogged(message);
  }

  onGone({ sessionId }: NodeMessageOf<'gone'>): void {
    this.end(sessionId);
  }

  onDisowned({ sessionId }: NodeMessageOf<'disowned'>): void {
    this.ownership.onDisowned(sessionId);
  }

  onShape({ sessionId, revision, message: text }: NodeMessageOf<'shape'>): void {
    const shaped = text === undefined ? undefined : parseStoredMessage(text);
    this.pool
      .get(sessionId)
      ?.reshaped(revision, shaped)
      .catch((error: unknown) => {
        this.node.logger.warn(`mcp-anynode: a replica is behind for now: ${String(error)}`);
      });
  }

  onFollowed({ sessionId, by }: NodeMessageOf<'followed'>): void {
    const live = this.pool.get(sessionId);
    if (live !== undefined) live.followedBy = by;
  }

  /** Another node owns the session now. */
  disowned(sessionId: string): void {
    const live = this.pool.get(sessionId);
    if (live !== undefined) this.ownership.lost(live);
  }

  /** This node closes: sessions that it owns are others' from now on, those in use as soon as they are idle. */
  async handOver(): Promise<void> {
    if (this.node.owned) await this.pool.evictAll();
  }

  /** The session has ended: nothing of it stays on this node. */
  end(sessionId: string): void {
    this.node.followers.endSession(sessionId, 'gone');
    void this.pool.remove(sessionId)?.end();
  }

  /**
   * There is no such session, or it is another principal's. Where this node has something of it, it finds out which; the
   * caller does not wait.
   */
  verify(sessionId: string): void {
    const { membership, followers, logger } = this.node;
    const isHere = this.pool.get(sessionId) ?? followers.ofSession(sessionId)[0];
    if (isHere === undefined) return;
    membership.identify(sessionId).then(
      (identity) => {
        if (identity === undefined) this.end(sessionId);
      },
      (error: unknown) => {
        logger.warn(`mcp-anynode: a session may be gone: ${String(error)}`);
      },
    );
  }

  /** Discards all replicas. What still runs ends without an answer. */
  close(): Promise<void> {
    return this.pool.close();
  }

  private lost(live: LiveSession, unpin: () => void): 'gone' {
    unpin();
    this.pool.dropIfEmpty(live);
    return 'gone';
  }
}

/** The server answered `initialize` with an error: there is no session. */
export class Refused extends Error {
  constructor(readonly birth: InitializeExchange) {
    super('The server refused to initialize');
  }
}
