import type {
  JsonRpcMessage,
  JsonRpcRequest,
  JsonRpcResponse,
  RequestId,
} from '../protocol/json/jsonrpc.js';
import type { Shape } from '../replica/session-shape.js';
import { requestsBetween, UNSHAPED } from '../replica/session-shape.js';
import { isSuccess, kindOf } from './http/response-body.js';
import { HANDSHAKE_BYTES, LONGEST_VERSION } from './bounds.js';
import type { CallParts } from './intercepted-call.js';
import { ACCEPT_BOTH, call } from './intercepted-call.js';
import type { Ending } from './ending.js';
import { Failure } from './failure.js';
import type { Origin } from './http/origin.js';
import type { InterceptedParts } from './private-session.js';
import { PrivateSession } from './private-session.js';

/** The server object that has these private sessions. */
export interface Replica {
  /** Ends when the server object ends. */
  readonly life: Ending;
  /** The origin of the client's last message. */
  readonly origin: Origin | undefined;
  /** The shape of the session. */
  readonly shape: Shape;
  /** Handles a request or notification of the server. `related` is the request that it belongs to. Never rejects. */
  heard(message: JsonRpcMessage, related: RequestId | undefined, generation: number): Promise<void>;
}

/**
 * How long a server may take to answer requests that set the shape of its session. This is as long as the SDK's own timeout.
 */
const HANDSHAKE_MS = 30_000;
/**
 * How long a node waits for the answer to a `ping`, which shows that the server has sent its earlier messages. After this
 * time the node goes on without the answer.
 */
const CALM_MS = 2000;

export type AnswerParts = Pick<CallParts, 'origin' | 'ending' | 'onSent' | 'onHangUp'>;

/**
 * The private sessions that a server behind this library has given to one replica, one at a time. If the server has
 * forgotten a session, another one is made and gets the same shape.
 */
export class PrivateSessions {
  current: PrivateSession | undefined;
  /** The newest session, which may not have its whole shape yet. */
  latest: PrivateSession | undefined;
  /** Set while a private session is being made. */
  private settling: Promise<PrivateSession> | undefined;
  private initialize: JsonRpcRequest['params'];
  private generations = 0;
  private names = 0;
  /**
   * The number of a private session that is being made in place of a lost one. Notifications of the server are dropped
   * meanwhile, because the client has had them before.
   */
  private muted: number | undefined;
  /** The private session for which `calmDown` was called last. */
  private calm: PrivateSession | undefined;

  constructor(
    private readonly parts: InterceptedParts,
    private readonly replica: Replica,
  ) {}

  /**
   * Returns the current session. If a session is being made, the promise resolves when that session is ready, and rejects if
   * it cannot be made.
   */
  settled(): Promise<PrivateSession> | PrivateSession | undefined {
    return this.settling ?? this.current;
  }

  isMuted(generation: number): boolean {
    return this.muted === generation;
  }

  /** Hands the client's `initialize` to the server, and returns its answer. */
  async begin(request: JsonRpcRequest, parts: AnswerParts): Promise<JsonRpcResponse> {
    this.initialize = request.params;
    const opening = this.open(request, parts, request.id);
    void this.settle(opening.then(({ session }) => session));
    const { answer, session } = await opening;
    this.current = session;
    return answer;
  }

  /**
   * Returns the parts of a call in this private session. `related` is the client's request that the messages of the server
   * belong to.
   */
  callParts(
    { headers, generation }: Pick<PrivateSession, 'headers' | 'generation'>,
    related: RequestId | undefined,
  ): CallParts {
    const { target, reader, clock, timeoutMs } = this.parts;
    return {
      ...{ target, reader, clock, origin: this.replica.origin, ending: this.replica.life },
      headers: { ...headers, ...this.parts.traceHeaders?.() },
      patienceMs: timeoutMs,
      onMessage: (message) => this.replica.heard(message, related, generation),
    };
  }

  /**
   * Sends an `initialize` to the server. If the server accepts it, makes a private session. If the exchange fails, removes
   * the session that the server may have opened.
   */
  private async open(
    request: JsonRpcRequest,
    parts: AnswerParts,
    related: RequestId | undefined,
  ): Promise<{ answer: JsonRpcResponse; session: PrivateSession | undefined }> {
    const generation = this.generations++;
    const { restarts } = this.parts.target;
    let id: string | undefined;
    const sessionOf = (version: string): PrivateSession =>
      this.privateSession(id, version, generation, restarts);
    try {
      const answer = await this.within(HANDSHAKE_MS, request, {
        ...this.callParts({ headers: {}, generation }, related),
        ...parts,
        onHead: ({ headers }) => {
          const given = headers['mcp-session-id'];
          if (typeof given === 'string') id = given;
        },
      });
      if (!('result' in answer)) return { answer, session: undefined };
      const version = answer.result.protocolVersion;
      if (!isVersion(version)) throw new Failure('server_invalid', 'no protocol version');
      const session = sessionOf(version);
      if (this.replica.life.ended) throw new Failure('server_lost', 'closed meanwhile');
      this.latest = session;
      return { answer, session };
    } catch (error) {
      if (!parts.ending.ended) this.parts.refusals.refused(error);
      const version = request.params?.protocolVersion;
      void sessionOf(isVersion(version) ? version : '').remove();
      throw error;
    }
  }

  private privateSession(
    id: string | undefined,
    version: string,
    generation: number,
    restarts: number,
  ): PrivateSession {
    const session: PrivateSession = new PrivateSession({
      ...{ ...this.parts, id, version, generation, restarts },
      origin: () => this.replica.origin,
      onMessage: (message) => this.replica.heard(message, undefined, generation),
      onForgotten: () => this.renew(session),
    });
    return session;
  }

  /** Waits until the opening of a session has ended. Meanwhile `settled` and `renew` return this promise. */
  private settle(opening: Promise<PrivateSession | undefined>): Promise<PrivateSession> {
    const settling = opening
      .then((session) => {
        if (session === undefined) throw new Failure('server_refused', 'initialize');
        return session;
      })
      .finally(() => {
        if (this.settling === settling) this.settling = undefined;
      });
    settling.catch(() => undefined); // the callers that wait get the error
    this.settling = settling;
    return settling;
  }

  /**
   * Returns a private session in place of one that the server no longer knows. Makes it, unless that was done or is under
   * way.
   */
  renew(forgotten: PrivateSession): Promise<PrivateSession> {
    if (this.settling !== undefined) return this.settling;
    if (this.current !== undefined && this.current !== forgotten) {
      return Promise.resolve(this.current);
    }
    return this.settle(this.remake(forgotten));
  }

  private async remake(forgotten: PrivateSession): Promise<PrivateSession> {
    const parts = { origin: this.replica.origin, ending: this.replica.life };
    const params = this.initialize;
    const request = this.own('initialize', params);
    this.muted = this.generations;
    try {
      const { session, answer } = await this.open(request, parts, undefined);
      if (session === undefined) throw new Failure('server_refused', JSON.stringify(answer));
      try {
        await this.tellAll(session);
      } catch (error) {
        void session.remove();
        throw error;
      }
      forgotten.end();
      this.current = session;
      this.parts.refusals.madeAgain();
      return session;
    } finally {
      this.muted = undefined;
    }
  }

  private async tellAll(session: PrivateSession): Promise<void> {
    await session.listen();
    const initialized = { jsonrpc: '2.0' as const, method: 'notifications/initialized' };
    if (this.replica.shape.active) await this.post(session, initialized, this.replica.origin);
    for (const { method, params } of requestsBetween(UNSHAPED, this.replica.shape)) {
      await this.within(
        HANDSHAKE_MS,
        this.own(method, { ...params }),
        this.callParts(session, undefined),
      );
    }
    await this.calmDown(session);
  }

  /** Waits until the server has sent its messages about `initialized`. It sends those before it answers a later `ping`. */
  async calmDown(session: PrivateSession): Promise<void> {
    if (this.calm === session) return;
    this.calm = session;
    const parts = this.callParts(session, undefined);
    await this.within(CALM_MS, this.own('ping'), parts).catch(() => undefined);
  }

  /** Makes a call that ends after `ms`, because other calls wait for it. */
  private async within(
    ms: number,
    request: JsonRpcRequest,
    parts: CallParts,
  ): Promise<JsonRpcResponse> {
    const { ending, release } = parts.ending.within(ms, this.parts.clock);
    return call(request, { ...parts, ending, mostBytes: HANDSHAKE_BYTES }).finally(release);
  }

  /** Makes a request of this library's own. */
  private own(method: string, params?: JsonRpcRequest['params']): JsonRpcRequest {
    const id = `anynode:own-${(this.names += 1)}`;
    return { jsonrpc: '2.0', id, method, ...(params !== undefined && { params }) };
  }

  /** Sends the server a notification or an answer. Rejects with a {@link Failure}. */
  async post(
    { headers }: PrivateSession,
    message: JsonRpcMessage,
    origin: Origin | undefined,
  ): Promise<void> {
    const { target, reader, timeoutMs } = this.parts;
    const response = await target.send({
      method: 'POST',
      headers: {
        ...headers,
        ...{ ...this.parts.traceHeaders?.(), accept: ACCEPT_BOTH },
        'content-type': 'application/json',
      },
      body: JSON.stringify(message),
      ...{ origin, timeoutMs, ending: this.replica.life },
    });
    if (!isSuccess(response)) throw await reader.refusal(response);
    // The content of the response is not needed. An event stream might never end, so close it.
    if (kindOf(response) === 'events') response.destroy();
    else reader.discard(response);
  }
}

/** True for a version that can be a header of every request of the session. */
function isVersion(version: unknown): version is string {
  return (
    typeof version === 'string' &&
    version.length <= LONGEST_VERSION &&
    /^[\x21-\x7e]+$/.test(version)
  );
}
