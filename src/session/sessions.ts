import type {
  NodeMessage,
  Operation,
  OperationResult,
  Position,
  ReceiveOperation,
  Route,
  SessionRecord,
} from '../backplane/backplane.js';
import { jittered } from '../protocol/clock.js';
import type { JsonRpcMessage, JsonRpcRequest, RequestId } from '../protocol/jsonrpc.js';
import { isNotification, isRequest, isResponse } from '../protocol/jsonrpc.js';
import { nodeOf } from './asks.js';
import { Birth } from './birth.js';
import { LiveSession } from './live.js';
import type { SessionNode } from './node.js';
import type { DeliveryContext } from './replica.js';
import type { AuthInfo } from './types.js';

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
  /** Hands the messages to the replica, which is built where there is none. To be called once somebody follows. */
  run(contextOf: (request: JsonRpcRequest) => DeliveryContext): void;
}

/** All sessions that this node has something to do with. */
export class Sessions {
  private readonly live = new Map<string, LiveSession>();
  private cancelSweep: () => void = () => undefined;
  private closed = false;

  constructor(private readonly node: SessionNode) {
    this.scheduleSweep();
  }

  get replicas(): number {
    let count = 0;
    for (const session of this.live.values()) if (session.hasReplica) count += 1;
    return count;
  }

  /** Ids of the sessions with running requests. */
  busy(): string[] {
    return [...this.live.values()].filter(({ running }) => running > 0).map(({ id }) => id);
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
    this.makeRoom();
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
      this.live.set(session.id, live);
    });
    return { birth, positions };
  }

  /** Stores a POST with requests and opens its stream. */
  async open(
    { sessionId, principal, messages }: Inbound,
    stream: { name: string; token: string },
    authInfo: AuthInfo | undefined,
  ): Promise<Opened | 'gone' | 'duplicate'> {
    const live = this.of(sessionId);
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
        this.forgetIfEmpty(live);
        return 'duplicate';
      }
      if (reply.record !== undefined) live.followedBy = reply.followedBy;
      const here = (message: JsonRpcMessage): boolean =>
        isRequest(message) || isHere(results[1 + others.indexOf(message)]);
      return {
        position: opened.position,
        run: (contextOf) => {
          void this.run(live, messages.filter(here), stream.name, reply, authInfo, contextOf)
            .catch((error: unknown) => this.node.logger.error(`mcp-anynode: ${String(error)}`))
            .finally(unpin);
        },
      };
    } catch (error) {
      unpin();
      this.forgetIfEmpty(live);
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
      await this.prepare(live, recordFor(messages, reply), authInfo);
    } catch (error) {
      this.node.logger.error(`mcp-anynode: no server for a session: ${String(error)}`);
      await live.fail(requests);
      return;
    }
    for (const message of messages) {
      if (isRequest(message)) live.call(message, contextOf(message));
      else this.deliver(live.id, message, undefined);
      if (isInitialized(message)) live.reached(reply.revision);
    }
  }

  /** Stores messages that ask for nothing, and hands each to whom it concerns. */
  async receive(
    { sessionId, principal, messages }: Inbound,
    context: DeliveryContext,
  ): Promise<'received' | 'gone'> {
    const live = this.of(sessionId);
    const unpin = live.pin();
    try {
      const { revision } = live;
      const operations = messages.map((message) => receive(message, principal, revision));
      const committed = await this.node.lanes.submit(sessionId, operations);
      if (committed === 'gone' || committed.results[0]?.status === 'denied') {
        return this.lost(live, unpin);
      }
      const { reply, results } = committed;
      const concerned = messages.filter((_, at) => isHere(results[at]));
      const needsReplica = concerned.some((message) => !isAnswer(message));
      if (!needsReplica) {
        for (const message of concerned) this.deliver(sessionId, message, context);
        unpin();
        this.forgetIfEmpty(live);
        return 'received';
      }
      if (reply.record !== undefined) live.followedBy = reply.followedBy;
      // Stored is acknowledged: the client does not wait for the server to be built.
      void this.handOver(live, concerned, reply, context)
        .catch((error: unknown) => {
          this.node.logger.error(`mcp-anynode: a notification was not handled: ${String(error)}`);
        })
        .finally(unpin);
      return 'received';
    } catch (error) {
      unpin();
      this.forgetIfEmpty(live);
      throw error;
    }
  }

  private async handOver(
    live: LiveSession,
    messages: JsonRpcMessage[],
    reply: Reached,
    context: DeliveryContext,
  ): Promise<void> {
    const record = recordFor(messages, reply);
    if (record !== undefined || !live.hasReplica) {
      await this.prepare(live, record, context.authInfo);
    }
    for (const message of messages) {
      this.deliver(live.id, message, context);
      if (isInitialized(message)) live.reached(reply.revision);
    }
  }

  private async prepare(
    live: LiveSession,
    record: SessionRecord | undefined,
    authInfo: AuthInfo | undefined,
  ): Promise<void> {
    if (!live.hasReplica) this.makeRoom();
    await live.prepare(record, authInfo);
  }

  /** A message of the client that another node has stored, or this one. */
  private deliver(
    sessionId: string,
    message: JsonRpcMessage,
    context: DeliveryContext | undefined,
  ): void {
    if (!isAnswer(message)) {
      this.live.get(sessionId)?.deliver(message, context);
      return;
    }
    const id = isNotification(message) ? message.params?.progressToken : message.id;
    this.node.asks.find(sessionId, id)?.asker.deliver(message, context);
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
        this.live
          .get(sessionId)
          ?.reshaped(revision, shaped)
          .catch((error: unknown) => {
            this.node.logger.warn(`mcp-anynode: a replica is behind for now: ${String(error)}`);
          });
        break;
      }
      case 'followed': {
        const live = this.live.get(message.sessionId);
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
    const live = this.live.get(sessionId);
    this.live.delete(sessionId);
    void live?.end();
  }

  async close(): Promise<void> {
    this.closed = true;
    this.cancelSweep();
    const sessions = [...this.live.values()];
    for (const session of sessions) this.evict(session);
    await Promise.all(sessions.map((session) => session.end()));
  }

  private of(sessionId: string): LiveSession {
    const live = this.live.get(sessionId) ?? new LiveSession(sessionId, this.node);
    // To the end: the map is in the order of use, for `makeRoom`.
    this.live.delete(sessionId);
    this.live.set(sessionId, live);
    return live;
  }

  private lost(live: LiveSession, unpin: () => void): 'gone' {
    unpin();
    this.forgetIfEmpty(live);
    return 'gone';
  }

  private forgetIfEmpty(live: LiveSession): void {
    if (!live.hasReplica && live.idle && this.live.get(live.id) === live) this.live.delete(live.id);
  }

  private scheduleSweep(): void {
    const every = jittered(Math.max(this.node.replicaIdleMs / 4, 250));
    this.cancelSweep = this.node.clock.after(every, () => {
      this.sweep()
        .catch((error: unknown) => {
          this.node.logger.warn(`mcp-anynode: idle replicas stay for now: ${String(error)}`);
        })
        .finally(() => {
          if (!this.closed) this.scheduleSweep();
        });
    });
  }

  /** Discards replicas that nobody has used for `replicaIdleMs`. */
  private async sweep(): Promise<void> {
    const deadline = this.node.clock.now() - this.node.replicaIdleMs;
    const idle = [...this.live.values()].filter(
      (live) => live.idle && live.lastUsedAt <= deadline && !this.isFollowedHere(live.id),
    );
    const followers = new Set(idle.flatMap(({ followedBy }) => followedBy ?? []));
    followers.delete(this.node.nodeId);
    const alive =
      followers.size === 0 ? followers : await this.node.membership.alive([...followers]);
    for (const live of idle) {
      // An open stream on another node keeps it too: the server may have something to say by itself.
      const followed = live.followedBy !== undefined && alive.has(live.followedBy);
      if (!followed && live.idle) this.evict(live);
    }
  }

  private isFollowedHere(sessionId: string): boolean {
    return this.node.followers.ofSession(sessionId).length > 0;
  }

  /** Before another replica is built: the one that was idle for longest gives way, where there are too many. */
  private makeRoom(): void {
    if (this.live.size < this.node.maxReplicas) return;
    for (const live of this.live.values()) {
      if (!live.idle || !live.hasReplica) continue;
      this.evict(live);
      return;
    }
    if (this.replicas >= this.node.maxReplicas) {
      this.node.logger.warn('mcp-anynode: more replicas are busy than maxReplicas allows');
    }
  }

  private evict(live: LiveSession): void {
    if (this.live.get(live.id) === live) this.live.delete(live.id);
    if (live.hasReplica) {
      this.node.lanes.append(live.id, [{ type: 'forget' }], true).catch(() => undefined); // closed
    }
    void live.end();
  }
}

/** The server answered `initialize` with an error: there is no session. */
export class Refused extends Error {
  constructor(readonly birth: Birth) {
    super('The server refused to initialize');
  }
}

function receive(
  message: JsonRpcMessage,
  principal: string,
  revision: number | undefined,
): ReceiveOperation {
  const route = routeOf(message);
  return { type: 'receive', principal, message: JSON.stringify(message), route, revision };
}

function routeOf(message: JsonRpcMessage): Route {
  if (isResponse(message)) return toNode(nodeOf(message.id));
  if (!isNotification(message)) return { to: 'here' };
  switch (message.method) {
    case 'notifications/progress':
      return toNode(nodeOf(message.params?.progressToken));
    case 'notifications/cancelled':
      return {
        to: 'executor',
        request: JSON.stringify((message.params?.requestId ?? null) as RequestId | null),
      };
    case 'notifications/roots/list_changed':
      return { to: 'replicas' };
    case 'notifications/initialized':
      return { to: 'initialized' };
    default:
      return { to: 'here' };
  }
}

function toNode(nodeId: string | undefined): Route {
  return nodeId === undefined ? { to: 'nobody' } : { to: 'node', nodeId };
}

function isHere(result: OperationResult | undefined): boolean {
  return result?.status === 'received' && result.here;
}

/** For whoever asked the client something, and for no one else. */
function isAnswer(message: JsonRpcMessage): boolean {
  return (
    isResponse(message) || (isNotification(message) && message.method === 'notifications/progress')
  );
}

function isInitialized(message: JsonRpcMessage): boolean {
  return isNotification(message) && message.method === 'notifications/initialized';
}

/** What a commit said of the session. */
interface Reached {
  record?: SessionRecord;
  revision: number;
}

/** What the replica has to know before it gets these: one that is to handle `initialized` must not have had it before. */
function recordFor(messages: JsonRpcMessage[], { record }: Reached): SessionRecord | undefined {
  if (record === undefined || !messages.some(isInitialized)) return record;
  return { ...record, active: false, revision: record.revision - 1 };
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
