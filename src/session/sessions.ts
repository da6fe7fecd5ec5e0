import type {
  AppendOperation,
  NodeMessage,
  Operation,
  OperationResult,
  Position,
  SessionRecord,
} from '../backplane/backplane.js';
import type {
  JsonRpcError,
  JsonRpcMessage,
  JsonRpcRequest,
  RequestId,
} from '../protocol/jsonrpc.js';
import { isNotification, isRequest, isResponse } from '../protocol/jsonrpc.js';
import { Birth } from './birth.js';
import { LiveSession, show } from './live.js';
import { mayRerun, pastOf } from './past.js';
import { Pool } from './pool.js';
import { isAnswer, isHere, isInitialized, receive } from './routing.js';
import type { SessionNode } from './node.js';
import type { DeliveryContext } from './replica.js';
import type { AuthInfo } from './types.js';

/** How far back to look for what was missed: longer than an outage that clients and calls live through. */
const MISSED_MS = 15 * 60_000;
const HISTORY_PAGE = 500;

/** A POST of one session, as it came in. */
export interface Inbound {
  sessionId: string;
  /** The caller's identity in the backplane's own form. */
  principal: string;
  messages: JsonRpcMessage[];
}

export interface Opened {
  /** Where the stream begins. */
  position: Position;
  /** Gives the stream up, where nobody can follow it. Either this or `run` has to be called. */
  abandon(): void;
  /** Hands the messages to the replica, which is built where there is none. To be called once somebody follows. */
  run(contextOf: (request: JsonRpcRequest) => DeliveryContext): void;
}

/** All sessions that this node has something to do with. */
export class Sessions {
  private readonly pool: Pool;

  constructor(private readonly node: SessionNode) {
    this.pool = new Pool(node);
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

  /** Another node runs the requests of this stream now: what they do here is stopped, and nobody hears of it. */
  taken(sessionId: string, stream: string): void {
    this.pool.get(sessionId)?.taken(stream);
  }

  /**
   * Answers `initialize`: with a new session where the server agrees, else with the server's error. Resolves when both
   * are stored, so that the next request may reach any node. Rejects like {@link LiveSession.beginWith}.
   */
  async initialize(
    request: JsonRpcRequest,
    session: { id: string; principal: string; authInfo: AuthInfo | undefined },
    delivery: DeliveryContext,
  ): Promise<{ birth: Birth; positions: Position[] }> {
    const { node } = this;
    const live = new LiveSession(session.id, node);
    const birth = new Birth(request, node.nextName(), node.clock);
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
      owner: undefined,
    };
    let positions: Position[] = [];
    this.pool.makeRoom();
    const context = { session: info, authInfo: session.authInfo };
    await live.beginWith(birth, context, delivery, async ({ answer }) => {
      if (answer === undefined || !('result' in answer)) throw new Refused(birth);
      const created = await node.membership.create({
        id: session.id,
        initialize: JSON.stringify(params),
        protocolVersion: String(answer.result.protocolVersion),
        principal: session.principal,
        hears: hearsOf(answer.result.capabilities),
        createdAt: now,
        inbound: JSON.stringify(request),
        stream: birth.stream,
        outbound: birth.outbound,
      });
      if (created === false) {
        throw new Error(`sessionIdGenerator returned an id that is in use: ${session.id}`);
      }
      positions = created;
      this.pool.add(live);
    });
    return { birth, positions };
  }

  /** Stores a POST with requests and opens its stream. */
  async open(
    inbound: Inbound,
    stream: { name: string; token: string },
    authInfo: AuthInfo | undefined,
    retried = false,
  ): Promise<Opened | 'gone' | 'duplicate'> {
    const { sessionId, principal, messages } = inbound;
    const live = this.pool.of(sessionId);
    const unpin = live.pin();
    try {
      const requests = messages.filter(isRequest);
      const others = messages.filter((message) => !isRequest(message));
      const { revision } = live;
      const operations: Operation[] = [
        {
          type: 'open',
          principal,
          stream: stream.name,
          token: stream.token,
          requests: requests.map(({ id }) => JSON.stringify(id)),
          messages: requests.map((request) => JSON.stringify(request)),
          revision,
        },
        ...others.map((message) => receive(message, principal, revision)),
      ];
      const committed = await this.node.lanes.submit(sessionId, operations);
      if (committed === 'gone') return this.lost(live, unpin);
      const { results, reply } = committed;
      const [opened] = results;
      if (opened?.status === 'denied') return this.lost(live, unpin);
      if (opened?.status !== 'opened') {
        unpin();
        this.pool.dropIfEmpty(live);
        if (retried || opened?.status !== 'duplicate') return 'duplicate';
        // In use by a request of a dead node, which nobody followed and nobody ended: its id is free again.
        const ended = await this.node.endDead(sessionId, opened.stream, opened.executor);
        return ended ? await this.open(inbound, stream, authInfo, true) : 'duplicate';
      }
      if (reply.record !== undefined) live.followedBy = reply.followedBy;
      const here = (message: JsonRpcMessage): boolean =>
        isRequest(message) || isHere(results[1 + others.indexOf(message)]);
      return {
        position: opened.position,
        abandon: () => {
          const ids = requests.map(({ id }) => JSON.stringify(id));
          const abandon = { type: 'abandon' as const, stream: stream.name, requests: ids };
          this.node.lanes.append(sessionId, [abandon], true).catch(() => undefined); // closed
          unpin();
        },
        run: (contextOf) => {
          const now = reached(reply, results);
          void this.run(live, messages.filter(here), stream.name, now, authInfo, contextOf)
            .catch((error: unknown) => this.node.logger.error(`mcp-anynode: ${String(error)}`))
            .finally(unpin);
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
    reply: Reached,
    authInfo: AuthInfo | undefined,
    contextOf: (request: JsonRpcRequest) => DeliveryContext,
  ): Promise<void> {
    const requests = messages.filter(isRequest);
    live.expect(requests, stream);
    try {
      await this.prepare(live, recordFor(reply), authInfo);
    } catch (error) {
      this.node.logger.error(`mcp-anynode: no server for a session: ${String(error)}`);
      await live.fail(requests);
      return;
    }
    for (const message of messages) {
      if (isRequest(message)) live.call(message, contextOf(message));
      else this.deliver(live.id, message, undefined);
      if (reply.initialized && isInitialized(message)) live.reached(reply.revision);
    }
  }

  /** The revision that this node's replica of a session is at, if there is one. */
  revisionOf(sessionId: string): number | undefined {
    return this.pool.get(sessionId)?.revision;
  }

  /** Ends requests of a stream that this node has claimed, each with an error. */
  async endOrphans(
    sessionId: string,
    stream: string,
    requests: RequestId[],
    errorOf: (id: RequestId) => JsonRpcError,
  ): Promise<void> {
    const operations = requests.map((id): AppendOperation => ({
      type: 'append',
      stream,
      message: JSON.stringify(errorOf(id)),
      ends: JSON.stringify(id),
    }));
    const committed = await this.node.lanes.append(sessionId, operations, true);
    if (committed === 'gone') return;
    operations.forEach((operation, at) =>
      show(this.node.followers, sessionId, operation, committed.results[at]),
    );
  }

  /** Runs again those of the requests that may be run again, and ends the others. See `recovery` in the options. */
  async rerunOrphans(orphan: Orphan): Promise<void> {
    const { sessionId, stream, context, record } = orphan;
    const past = await pastOf(this.node.membership, sessionId, stream);
    const live = this.pool.of(sessionId);
    const unpin = live.pin();
    try {
      await this.prepare(live, record, context.authInfo);
      const runnable: JsonRpcRequest[] = [];
      for (const id of orphan.requests) {
        const request = past.requests.get(id);
        if (request !== undefined && !past.asked && (await mayRerun(live, request))) {
          runnable.push(request);
        }
      }
      const rest = orphan.requests.filter((id) => !runnable.some((request) => request.id === id));
      await this.endOrphans(sessionId, stream, rest, orphan.errorOf);
      live.expect(runnable, stream, past.progress);
      for (const request of runnable) live.call(request, context);
    } catch (error) {
      this.node.logger.error(`mcp-anynode: a request could not be run again: ${String(error)}`);
      await this.endOrphans(sessionId, stream, orphan.requests, orphan.errorOf);
    } finally {
      unpin();
    }
  }

  /** This node closes, and some requests still run: ends them with an error, or leaves them to whoever follows them. */
  async orphanAll(leave: boolean, errorOf: (id: RequestId) => JsonRpcError): Promise<void> {
    const busy = this.pool.all().filter((live) => live.running > 0);
    await Promise.all(
      busy.map(async (live) => {
        if (!leave) return live.failAll(errorOf);
        const release = live.streams().map((stream) => ({ type: 'release' as const, stream }));
        await this.node.lanes.append(live.id, release, true);
      }),
    );
  }

  /** Stores messages that ask for nothing, and hands each to whom it concerns. */
  async receive(
    { sessionId, principal, messages }: Inbound,
    context: DeliveryContext,
  ): Promise<'received' | 'gone'> {
    if (messages.length === 0) {
      // Nothing to store that could be denied: whether there is such a session is the store's to say all the same.
      const record = await this.node.membership.load(sessionId);
      return record?.principal === principal ? 'received' : 'gone';
    }
    const live = this.pool.of(sessionId);
    const unpin = live.pin();
    try {
      const { revision } = live;
      const operations = messages.map((message) => receive(message, principal, revision));
      const committed = await this.node.lanes.submit(sessionId, operations);
      if (committed === 'gone' || committed.results[0]?.status === 'denied') {
        return this.lost(live, unpin);
      }
      const { reply, results } = committed;
      const concerned: JsonRpcMessage[] = [];
      for (const [at, message] of messages.entries()) {
        const result = results[at];
        if (isHere(result) || (await this.inheritsFrom(result))) concerned.push(message);
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
      void this.handOver(live, concerned, reached(reply, results), context)
        .catch((error: unknown) => {
          this.node.logger.error(`mcp-anynode: a notification was not handled: ${String(error)}`);
        })
        .finally(unpin);
      return 'received';
    } catch (error) {
      unpin();
      this.pool.dropIfEmpty(live);
      throw error;
    }
  }

  /** `initialized` was given to the replica of a node that is dead: then it is ours to handle. */
  private async inheritsFrom(result: OperationResult | undefined): Promise<boolean> {
    if (result?.status !== 'received' || result.handler === undefined) return false;
    // Nothing is known while the backplane is away; it lives, then, as far as we are concerned.
    return !(await this.node.isAlive(result.handler).catch(() => true));
  }

  private async handOver(
    live: LiveSession,
    messages: JsonRpcMessage[],
    reply: Reached,
    context: DeliveryContext,
  ): Promise<void> {
    const record = recordFor(reply);
    if (record !== undefined || !live.hasReplica) {
      await this.prepare(live, record, context.authInfo);
    }
    for (const message of messages) {
      this.deliver(live.id, message, context);
      if (reply.initialized && isInitialized(message)) live.reached(reply.revision);
    }
  }

  private async prepare(
    live: LiveSession,
    record: SessionRecord | undefined,
    authInfo: AuthInfo | undefined,
  ): Promise<void> {
    if (!live.hasReplica) this.pool.makeRoom();
    await live.prepare(record, authInfo);
  }

  /** A message of the client that another node has stored, or this one. */
  private deliver(
    sessionId: string,
    message: JsonRpcMessage,
    context: DeliveryContext | undefined,
  ): void {
    if (!isAnswer(message)) {
      this.pool.get(sessionId)?.deliver(message, context);
      return;
    }
    const id = isNotification(message) ? message.params?.progressToken : message.id;
    this.node.asks.find(sessionId, id)?.asker.deliver(message, context);
  }

  /**
   * Messages to this node may have been lost: reads in the log what clients have said to those who wait here, or run
   * something. What was heard already is not heard twice: an answer has nobody waiting any more, a cancelled call is over.
   */
  async catchUp(): Promise<void> {
    const waiting = new Set([...this.node.asks.sessions(), ...this.running().keys()]);
    const since = `${this.node.clock.now() - MISSED_MS}-0`;
    await Promise.all([...waiting].map((sessionId) => this.catchUpOn(sessionId, since)));
  }

  private async catchUpOn(sessionId: string, since: string): Promise<void> {
    for (let after = since; ;) {
      const entries = await this.node.membership.history(sessionId, after, HISTORY_PAGE);
      for (const { direction, stream, message: text } of entries) {
        if (direction !== 'in' || stream !== undefined || text === undefined) continue;
        const message = JSON.parse(text) as JsonRpcMessage;
        const cancels = isNotification(message) && message.method === 'notifications/cancelled';
        if (cancels || isResponse(message)) this.deliver(sessionId, message, undefined);
      }
      const last = entries.at(-1);
      if (last === undefined || entries.length < HISTORY_PAGE) return;
      after = last.logId;
    }
  }

  /** Messages of other nodes. Nothing is awaited: a slow tool must not hold up the answer that it waits for. */
  onMessage(message: NodeMessage): void {
    switch (message.type) {
      case 'deliver':
        this.deliver(message.sessionId, JSON.parse(message.message) as JsonRpcMessage, undefined);
        break;
      case 'shape': {
        const { sessionId, revision, message: text } = message;
        const shaped = text === undefined ? undefined : (JSON.parse(text) as JsonRpcMessage);
        this.pool
          .get(sessionId)
          ?.reshaped(revision, shaped)
          .catch((error: unknown) => {
            this.node.logger.warn(`mcp-anynode: a replica is behind for now: ${String(error)}`);
          });
        break;
      }
      case 'followed': {
        const live = this.pool.get(message.sessionId);
        if (live !== undefined) live.followedBy = message.by;
        break;
      }
      case 'gone':
        this.end(message.sessionId);
        break;
      default:
        break;
    }
  }

  /** The session has ended: nothing of it stays on this node. */
  end(sessionId: string): void {
    this.node.followers.endSession(sessionId, 'gone');
    void this.pool.remove(sessionId)?.end();
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

/** Requests that this node has claimed from another one. */
export interface Orphan {
  sessionId: string;
  stream: string;
  requests: RequestId[];
  /** Of the client that follows the stream now. */
  context: DeliveryContext;
  record: SessionRecord | undefined;
  errorOf: (id: RequestId) => JsonRpcError;
}

/** The server answered `initialize` with an error: there is no session. */
export class Refused extends Error {
  constructor(readonly birth: Birth) {
    super('The server refused to initialize');
  }
}

/** What a commit said of the session. */
interface Reached {
  record?: SessionRecord;
  revision: number;
  /** This commit brought `initialized`, which made the revision. */
  initialized: boolean;
}

/** What the replica has to know before it gets these: one that is to handle `initialized` must not have had it before. */
function recordFor({ record, initialized }: Reached): SessionRecord | undefined {
  if (record === undefined || !initialized) return record;
  return { ...record, active: false, revision: record.revision - 1 };
}

function reached(reply: Omit<Reached, 'initialized'>, results: OperationResult[]): Reached {
  const { record, revision } = reply;
  const initialized = results.some((result) => result.status === 'received' && result.changed);
  return { revision, initialized, ...(record !== undefined && { record }) };
}

/** Which broadcasts a server has announced that it may send. */
function hearsOf(capabilities: unknown): string {
  const declared = (capabilities ?? {}) as Record<string, { listChanged?: boolean } | undefined>;
  return [
    declared.tools?.listChanged === true ? 'T' : '',
    declared.prompts?.listChanged === true ? 'P' : '',
    declared.resources?.listChanged === true ? 'R' : '',
  ].join('');
}
