import type {
  JsonRpcMessage,
  JsonRpcRequest,
  JsonRpcResponse,
  RequestId,
} from '../protocol/jsonrpc.js';
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

/** The server object whose private sessions these are. */
export interface Replica {
  /** Ends with it. */
  readonly life: Ending;
  /** Of the client's last message. */
  readonly origin: Origin | undefined;
  /** What the client has told its session. */
  readonly shape: Shape;
  /** A message of the server that is no answer; never rejects. `related`: to the request that it belongs to. */
  heard(message: JsonRpcMessage, related: RequestId | undefined, generation: number): Promise<void>;
}

/** How long a server may take to answer what shapes its session: as long as one of the SDK. */
const HANDSHAKE_MS = 30_000;
/** How long a server may take to answer a `ping`; then it is taken for one that has said what it had to say. */
const CALM_MS = 2000;

export type AnswerParts = Pick<CallParts, 'origin' | 'ending' | 'onSent' | 'onHangUp'>;

/**
 * The private sessions that a server behind this library has given to one replica: one at a time. In the place of one that the
 * server has forgotten another is made, which is told what its client has told the session.
 */
export class PrivateSessions {
  current: PrivateSession | undefined;
  /** The newest one, which may not have been told everything yet. */
  latest: PrivateSession | undefined;
  /** A private session is being made. */
  private settling: Promise<PrivateSession> | undefined;
  private initialize: JsonRpcRequest['params'];
  private generations = 0;
  private names = 0;
  /** Of a session that is made again: what its server says on that occasion has been said before. */
  private muted: number | undefined;
  /** Has said what it had to say on the occasion of its beginning. */
  private calm: PrivateSession | undefined;

  constructor(
    private readonly parts: InterceptedParts,
    private readonly replica: Replica,
  ) {}

  /** The present session, when none is being made. Rejects where none comes about. */
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

  callParts(
    { headers, generation }: Pick<PrivateSession, 'headers' | 'generation'>,
    related: RequestId | undefined,
  ): CallParts {
    const { target, reader, clock, timeoutMs } = this.parts;
    return {
      ...{ target, reader, clock, headers, origin: this.replica.origin, ending: this.replica.life },
      patienceMs: timeoutMs,
      onMessage: (message) => this.replica.heard(message, related, generation),
    };
  }

  /** Opens a private session, if the server agrees. */
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

  private settle(opening: Promise<PrivateSession | undefined>): Promise<PrivateSession> {
    const settling = opening
      .then((session) => {
        if (session === undefined) throw new Failure('server_refused', 'initialize');
        return session;
      })
      .finally(() => {
        if (this.settling === settling) this.settling = undefined;
      });
    settling.catch(() => undefined); // whoever waits hears of it
    this.settling = settling;
    return settling;
  }

  /** Makes a private session in the place of one that the server does not know any more. */
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

  /** Whatever it sends on being initialized, it sends before it answers what it is asked afterwards. */
  async calmDown(session: PrivateSession): Promise<void> {
    if (this.calm === session) return;
    this.calm = session;
    const parts = this.callParts(session, undefined);
    await this.within(CALM_MS, this.own('ping'), parts).catch(() => undefined);
  }

  /** A call that does not take longer, answer and all: others wait for it. */
  private async within(
    ms: number,
    request: JsonRpcRequest,
    parts: CallParts,
  ): Promise<JsonRpcResponse> {
    const { ending, release } = parts.ending.within(ms, this.parts.clock);
    return call(request, { ...parts, ending, mostBytes: HANDSHAKE_BYTES }).finally(release);
  }

  /** A request of our own. */
  private own(method: string, params?: JsonRpcRequest['params']): JsonRpcRequest {
    const id = `anynode:own-${(this.names += 1)}`;
    return { jsonrpc: '2.0', id, method, ...(params !== undefined && { params }) };
  }

  /** Hands the server a message that asks for nothing. Rejects with a {@link Failure}. */
  async post(
    { headers }: PrivateSession,
    message: JsonRpcMessage,
    origin: Origin | undefined,
  ): Promise<void> {
    const { target, reader, timeoutMs } = this.parts;
    const response = await target.send({
      method: 'POST',
      headers: { ...headers, accept: ACCEPT_BOTH, 'content-type': 'application/json' },
      body: JSON.stringify(message),
      ...{ origin, timeoutMs, ending: this.replica.life },
    });
    if (!isSuccess(response)) throw await reader.refusal(response);
    // There is nothing to be said; a stream would never end.
    if (kindOf(response) === 'events') response.destroy();
    else reader.discard(response);
  }
}

/** It goes along as a header with every request of the session. */
function isVersion(version: unknown): version is string {
  return (
    typeof version === 'string' &&
    version.length <= LONGEST_VERSION &&
    /^[\x21-\x7e]+$/.test(version)
  );
}
