import type {
  JsonRpcMessage,
  JsonRpcRequest,
  JsonRpcResponse,
  RequestId,
} from '../protocol/json/jsonrpc.js';
import { isNotification, isRequest, isResponse } from '../protocol/json/jsonrpc.js';
import { isAdopted } from './requests/adopted-requests.js';
import type { Asker, OutgoingRequests } from './requests/outgoing-requests.js';
import { ReplayRefused } from './requests/request-errors.js';
import type { DeliveryContext, Replica, ReplayMessage, ReplicaEvents } from './replica.js';
import type { SendOptions, ServerTransport } from '../options/public-types.js';

/**
 * How many progress tokens are remembered. They outlive the answer to their request, because the answer may be a task,
 * which goes on.
 */
const MOST_TOKENS = 1000;
/** How many requests of one server object may wait for the client. */
const MOST_OPEN_REQUESTS = 10_000;

/**
 * The transport that an SDK server is connected to, and the {@link Replica} that the rest of the library sees.
 *
 * It translates ids in both directions. The server's request ids and progress tokens count from 0 in every replica, and
 * become unique in the cluster (see {@link OutgoingRequests}). Ids of the client that the SDK treats as "no id" get an alias.
 */
export class ReplicaTransport implements ServerTransport, Replica, Asker {
  onclose?: (() => void) | undefined;
  onerror?: ((error: Error) => void) | undefined;
  onmessage?: ((message: JsonRpcMessage, extra?: object) => void) | undefined;
  onreplayed?: (() => Promise<void>) | undefined;
  backlog?: (() => number) | undefined;

  private readonly openRequests = new Map<RequestId, string>();
  private readonly tokens = new Map<RequestId, string>();
  private readonly replaying = new Map<RequestId, (answer?: JsonRpcResponse) => void>();
  private replays = 0;
  /**
   * The id of `initialize` while it is being answered. It gets no alias, so that an answer of a server behind HTTP can go to
   * the client word for word. An alias is not needed, because `initialize` cannot be cancelled.
   */
  private initializing: RequestId | undefined;
  /** True while the handshake is replayed. Notifications that the server then sends on its own are dropped as repeats. */
  private muted = false;
  closed = false;

  constructor(
    readonly sessionId: string,
    private readonly outgoingRequests: OutgoingRequests,
    private readonly events: ReplicaEvents,
  ) {}

  /** How many of the server's requests wait for an answer. */
  get waiting(): number {
    return this.openRequests.size;
  }

  // The server calls these.

  start(): Promise<void> {
    return Promise.resolve();
  }

  async send(message: JsonRpcMessage, options?: SendOptions): Promise<void> {
    if (this.closed) return;
    if (isResponse(message)) {
      const { id } = message;
      const isFirst = id !== undefined && id === this.initializing;
      if (!isFirst && id !== undefined && this.settleReplay(id, message)) return;
      const answer = id === undefined ? message : withId(message, this.clientIdOf(id));
      if (isFirst) this.initializing = undefined;
      await this.events.emit(answer, undefined, options?.httpAnswer);
      return;
    }
    const related = options?.relatedRequestId;
    const ofReplay = related !== undefined && this.replaying.has(related);
    // Notifications of running calls pass, also during a replay.
    if (isNotification(message) && (ofReplay || (this.muted && related === undefined))) return;
    const relatedTo = related === undefined || ofReplay ? undefined : this.clientIdOf(related);
    const own = isRequest(message) && !isAdopted(message);
    if (own && this.openRequests.size >= MOST_OPEN_REQUESTS)
      throw new Error('Too many requests wait for the client');
    const outgoing = own ? this.adopt(message) : this.translateOutgoing(message);
    try {
      await this.events.emit(outgoing, relatedTo);
    } catch (error) {
      if (own) this.forgetRequest(message.id);
      if (!isNotification(message)) throw error;
      // The SDK ignores some promises of its notifications, and their rejection would end the process. So a notification
      // that cannot be delivered is only written to the log.
      this.events.undelivered(message.method, error);
    }
  }

  close(): Promise<void> {
    if (this.closed) return Promise.resolve();
    this.release();
    this.onclose?.();
    this.events.closed();
    return Promise.resolve();
  }

  // The library calls these.

  deliver(message: JsonRpcMessage, context?: DeliveryContext): void {
    if (this.closed) return;
    if (isResponse(message)) {
      const sent = this.outgoingRequests.find(this.sessionId, message.id);
      // The request was answered or given up, or another server object sent it.
      if (sent?.asker !== this) return;
      this.forgetRequest(sent.original);
      this.giveToServer({ ...message, id: sent.original }, context);
    } else if (isRequest(message)) {
      // The server gets a copy, because it may change the id of a request that it passes on. The library needs the id.
      const isInitialize = message.method === 'initialize';
      if (isInitialize) this.initializing = message.id;
      const id = isInitialize ? message.id : toServerId(message.id);
      this.giveToServer({ ...message, id }, context);
    } else {
      this.giveToServer(this.translateIncoming(message), context);
    }
  }

  async replay(messages: ReplayMessage[]): Promise<void> {
    this.muted = messages.some(({ method }) => ANNOUNCING.has(method));
    try {
      for (const { method, params, expectsAnswer } of messages) {
        const message = {
          jsonrpc: '2.0' as const,
          method,
          ...(params !== undefined && { params }),
        };
        if (!expectsAnswer) {
          this.giveToServer(message);
          continue;
        }
        const answer = await this.replayRequest(message);
        if (answer !== undefined && 'error' in answer && method === 'initialize') {
          throw new ReplayRefused(answer.error);
        }
      }
      await this.onreplayed?.();
      // Handlers of notifications start in a microtask. What they send at once has to be dropped, too.
      await new Promise((resolve) => setImmediate(resolve));
    } finally {
      this.muted = false;
    }
  }

  /** Tells the server that its connection is closed. It rejects the requests that it waits for, and aborts its handlers. */
  shutDown(): void {
    if (this.closed) return;
    this.release();
    this.onclose?.();
  }

  /** Sends the server a request that the client does not see. Resolves with `undefined` if the server shut down. */
  query(
    method: string,
    params?: NonNullable<JsonRpcRequest['params']>,
  ): Promise<JsonRpcResponse | undefined> {
    return this.replayRequest({ jsonrpc: '2.0', method, ...(params !== undefined && { params }) });
  }

  private replayRequest(message: Omit<JsonRpcRequest, 'id'>): Promise<JsonRpcResponse | undefined> {
    this.replays += 1;
    const id = `${REPLAY}${this.replays}`;
    return new Promise((resolve) => {
      this.replaying.set(id, resolve);
      this.giveToServer({ ...message, id });
    });
  }

  private clientIdOf(id: RequestId): RequestId {
    return id === this.initializing ? id : toClientId(id);
  }

  private settleReplay(id: RequestId, answer: JsonRpcResponse): boolean {
    const resolve = this.replaying.get(id);
    this.replaying.delete(id);
    resolve?.(answer);
    return resolve !== undefined;
  }

  private giveToServer(message: JsonRpcMessage, context?: DeliveryContext): void {
    this.onmessage?.(message, context === undefined ? undefined : new MessageExtra(context));
  }

  /**
   * Gives a request of this server an id that is unique in the cluster. Any node may send the request, and this node gets
   * the answer.
   */
  adopt(request: JsonRpcRequest): JsonRpcRequest {
    const id = this.outgoingRequests.add(this, request.id);
    this.openRequests.set(request.id, id);
    const token = request.params?._meta?.progressToken;
    if (token === undefined) return { ...request, id };
    // A token that the server uses again for another request keeps its id of the cluster.
    const cluster = this.tokens.get(token) ?? this.outgoingRequests.add(this, token);
    this.rememberToken(token, cluster);
    const params = {
      ...request.params,
      _meta: { ...request.params?._meta, progressToken: cluster },
    };
    return { ...request, id, params };
  }

  /**
   * Whether this node waits for the answer to this request. A task's request may be sent here for another node, which
   * waits.
   */
  isOpen(id: RequestId): boolean {
    return this.outgoingRequests.find(this.sessionId, id) !== undefined;
  }

  /** Takes `adopt` back. Returns the request with the server's id, or `undefined` if it is not a request of this server. */
  retract(request: JsonRpcRequest): JsonRpcRequest | undefined {
    const sent = this.outgoingRequests.find(this.sessionId, request.id);
    if (sent?.asker !== this) return undefined;
    this.forgetRequest(sent.original);
    return { ...request, id: sent.original };
  }

  private rememberToken(token: RequestId, cluster: string): void {
    this.tokens.set(token, cluster);
    if (this.tokens.size <= MOST_TOKENS) return;
    for (const [oldest, id] of this.tokens) {
      this.tokens.delete(oldest);
      this.outgoingRequests.remove(id);
      return;
    }
  }

  private forgetRequest(original: RequestId): void {
    const id = this.openRequests.get(original);
    this.openRequests.delete(original);
    if (id !== undefined) this.outgoingRequests.remove(id);
  }

  /** Translates the id in a cancellation by the server. */
  private translateOutgoing(message: JsonRpcMessage): JsonRpcMessage {
    if (!isNotification(message) || message.method !== 'notifications/cancelled') return message;
    const original = message.params?.requestId as RequestId;
    const id = this.openRequests.get(original);
    if (id === undefined) return message;
    this.forgetRequest(original);
    return { ...message, params: { ...message.params, requestId: id } };
  }

  private translateIncoming(message: JsonRpcMessage): JsonRpcMessage {
    if (!isNotification(message)) return message;
    const { method, params } = message;
    if (method === 'notifications/cancelled') {
      const requestId = params?.requestId as RequestId;
      return { ...message, params: { ...params, requestId: toServerId(requestId) } };
    }
    if (method === 'notifications/progress') {
      const sent = this.outgoingRequests.find(this.sessionId, params?.progressToken);
      if (sent?.asker !== this) return message;
      return { ...message, params: { ...params, progressToken: sent.original } };
    }
    return message;
  }

  private release(): void {
    this.closed = true;
    for (const id of this.openRequests.values()) this.outgoingRequests.remove(id);
    for (const id of this.tokens.values()) this.outgoingRequests.remove(id);
    this.openRequests.clear();
    this.tokens.clear();
    for (const resolve of this.replaying.values()) resolve();
    this.replaying.clear();
  }
}

/** Messages after which a server may send notifications on its own. In a replay, the client has had those notifications. */
const ANNOUNCING = new Set(['initialize', 'notifications/initialized']);

const ALIAS = 'anynode:';
/** Prefix of the ids of replayed requests. */
const REPLAY = 'anynode-replay:';
const RESERVED = /^anynode(-replay)?:/;

/**
 * Returns the id under which the server gets a request of the client. A falsy id gets an alias, because the SDK's v1 line
 * ignores the cancellation of such a request. The SDK's client begins with the id `0`. An id that looks like an alias, or
 * like that of a replayed request, gets an alias, too.
 */
function toServerId(id: RequestId): RequestId {
  const plain = typeof id === 'number' ? id !== 0 : id !== '' && !RESERVED.test(id);
  return plain ? id : `${ALIAS}${JSON.stringify(id)}`;
}

/** Returns the message with this id. It copies the message only if the id differs, which is rare. */
function withId<T extends { id?: RequestId }>(message: T, id: RequestId): T {
  return message.id === id ? message : { ...message, id };
}

function toClientId(id: RequestId): RequestId {
  if (typeof id !== 'string' || !id.startsWith(ALIAS)) return id;
  return JSON.parse(id.slice(ALIAS.length)) as RequestId;
}

/** The `extra` for both lines of the SDK: v1 reads `requestInfo`, and v2 a web `Request`, which is built when it is read. */
class MessageExtra {
  readonly authInfo: DeliveryContext['authInfo'];
  readonly requestInfo: DeliveryContext['requestInfo'];
  readonly mounted: DeliveryContext['mounted'];
  readonly closeSSEStream: DeliveryContext['closeSSEStream'];
  readonly closeStandaloneSSEStream: DeliveryContext['closeStandaloneSSEStream'];

  constructor(context: DeliveryContext) {
    this.authInfo = context.authInfo;
    this.requestInfo = context.requestInfo;
    this.mounted = context.mounted;
    this.closeSSEStream = context.closeSSEStream;
    this.closeStandaloneSSEStream = context.closeStandaloneSSEStream;
  }

  get request(): Request | undefined {
    const { requestInfo } = this;
    if (requestInfo === undefined) return undefined;
    return new Request(requestInfo.url, { method: 'POST', headers: requestInfo.headers });
  }
}
