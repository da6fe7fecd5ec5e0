import { AnynodeError } from '../protocol/errors.js';
import type { Clock } from '../protocol/clock.js';
import type {
  JsonRpcMessage,
  JsonRpcNotification,
  JsonRpcRequest,
  JsonRpcResponse,
  RequestId,
} from '../protocol/jsonrpc.js';
import { ErrorCode, errorResponse, isRequest, isResponse } from '../protocol/jsonrpc.js';
import type { DeliveryContext } from '../replica/replica.js';
import type { Shape } from '../replica/session-shape.js';
import { effectOf, requestsBetween, UNSHAPED, withEffect } from '../replica/session-shape.js';
import type { Logger, ServerLike, ServerTransport } from '../options/types.js';
import type { BodyReader } from './http/response-body.js';
import { isSuccess, kindOf } from './http/response-body.js';
import { HANDSHAKE_BYTES, LONGEST_VERSION, MESSAGE_COST, STUCK_BYTES } from './bounds.js';
import type { CallParts } from './intercepted-call.js';
import { ACCEPT_BOTH, call } from './intercepted-call.js';
import { Ending } from './ending.js';
import { errorOf, Failure, hasForgotten, initializeError } from './failure.js';
import type { Target } from './http/http-exchange.js';
import { marked, unmarked } from './private-ids.js';
import type { Origin } from './http/origin.js';
import { originOf } from './http/origin.js';
import { PrivateSession } from './private-session.js';
import type { RefusalLog } from './refusal-log.js';

export interface InterceptedParts {
  target: Target;
  reader: BodyReader;
  clock: Clock;
  logger: Logger;
  /** How long the server may take for anything but to answer a request. */
  timeoutMs: number;
  refusals: RefusalLog;
}

/** How long a server may take to answer what shapes its session: as long as one of the SDK. */
const HANDSHAKE_MS = 30_000;
/** How long a server may take to answer a `ping`; then it is taken for one that has said what it had to say. */
const CALM_MS = 2000;

interface Running {
  ending: Ending;
  /** Resolves when the server has been sent the request, or never will be. */
  sent: Promise<void>;
  begun: boolean;
}

type AnswerParts = Pick<CallParts, 'origin' | 'ending' | 'onSent' | 'onHangUp'>;

/**
 * A server that is reached over HTTP, as a server object: what the transport delivers is POSTed to it, each message by
 * itself, and what comes back, on the responses and on a GET stream of its own, is sent through the transport. So all that
 * holds for server objects holds for it: it is built, told what its session is, kept, and discarded in the same way.
 */
export class InterceptedServer implements ServerLike {
  private transport: ServerTransport | undefined;
  private session: PrivateSession | undefined;
  /** The newest one, which may not have been told everything yet. */
  private latest: PrivateSession | undefined;
  /** A private session is being made. */
  private settling: Promise<PrivateSession> | undefined;
  /** The server is being told that its client is initialized. */
  private announcing: Promise<void> = Promise.resolve();
  /** Notifications, one after the other; and answers to the server, which must wait for nothing but each other. */
  private telling: Promise<void> = Promise.resolve();
  private answering: Promise<void> = Promise.resolve();
  private readonly running = new Map<RequestId, Running>();
  private readonly life = new Ending();
  private initialize: JsonRpcRequest['params'];
  private shape: Shape = UNSHAPED;
  private backlog = 0;
  private generations = 0;
  private names = 0;
  /** Of a session that is made again: what its server says on that occasion has been said before. */
  private muted: number | undefined;
  /** Has said what it had to say on the occasion of its beginning. */
  private calm: PrivateSession | undefined;

  constructor(
    private readonly parts: InterceptedParts,
    /** Of the request that this server is built for; then of the client's last message. */
    private origin: Origin | undefined,
  ) {}

  async connect(transport: ServerTransport): Promise<void> {
    this.transport = transport;
    transport.onmessage = (message: JsonRpcMessage, extra?: DeliveryContext) =>
      this.take(message, extra);
    transport.onreplayed = () => this.caughtUp();
    transport.backlog = () => this.backlog;
    await transport.start();
  }

  async close(): Promise<void> {
    this.life.end();
    for (const { ending } of this.running.values()) ending.end();
    // One that is being made is removed by whoever makes it.
    await this.session?.remove();
  }

  private take(message: JsonRpcMessage, extra: DeliveryContext | undefined): void {
    this.origin = originOf(extra, this.parts.target) ?? this.origin;
    const { origin } = this;
    if (isRequest(message)) {
      void this.answer(message, origin, extra?.closeSSEStream);
    } else if (isResponse(message) || message.method === 'notifications/progress') {
      const before = this.answering;
      this.answering = this.inLine(message, () =>
        before.then(() => this.tell(message, origin, () => this.latest)),
      );
    } else if (message.method === 'notifications/cancelled') {
      void this.inLine(message, () => this.cancel(message, origin));
    } else if (message.method === 'notifications/initialized') {
      this.shape = { ...this.shape, active: true };
      this.announcing = this.inLine(message, () =>
        this.tell(message, origin, () => this.announced()),
      );
    } else {
      const before = this.telling;
      this.telling = this.inLine(message, () =>
        before.then(() => this.tell(message, origin, () => this.ready())),
      );
    }
  }

  /** Counts a message until the server has taken it. The client has its 202 already: a server may be too slow for it. */
  private async inLine(message: JsonRpcMessage, step: () => Promise<void>): Promise<void> {
    const cost = JSON.stringify(message).length + MESSAGE_COST;
    this.backlog += cost;
    if (this.backlog > STUCK_BYTES && !this.life.ended) {
      this.parts.logger.error('mcp-anynode: the server takes nothing: its session is ended');
      void this.close();
      void this.transport?.close();
    }
    await step();
    this.backlog -= cost;
  }

  /** Answers a request of the client; never rejects. */
  private async answer(
    request: JsonRpcRequest,
    origin: Origin | undefined,
    onHangUp: (() => void) | undefined,
  ): Promise<void> {
    const ending = new Ending();
    let onSent = (): void => undefined;
    const sent = new Promise<void>((resolve) => (onSent = resolve));
    const running = { ending, sent, begun: false };
    this.running.set(request.id, running);
    const isInitialize = request.method === 'initialize';
    const parts = { origin, ending, onSent, onHangUp };
    let answer: JsonRpcResponse;
    try {
      answer = await (isInitialize
        ? this.begin(request, parts)
        : this.run(request, running, parts));
    } catch (error) {
      // Its client has given it up, or the session has ended: nobody waits for an answer.
      if (ending.ended) return;
      answer = (isInitialize ? initializeError : errorOf)(request.id, error);
    } finally {
      onSent();
      this.running.delete(request.id);
    }
    const effect = 'result' in answer ? effectOf(request) : undefined;
    if (effect !== undefined) this.shape = withEffect(this.shape, effect);
    await this.emit({ ...answer, id: request.id }, undefined);
  }

  private async begin(request: JsonRpcRequest, parts: AnswerParts): Promise<JsonRpcResponse> {
    this.initialize = request.params;
    const opening = this.open(request, parts, request.id);
    void this.settle(opening.then(({ session }) => session));
    const { answer, session } = await opening;
    this.session = session;
    return answer;
  }

  private async run(
    request: JsonRpcRequest,
    running: Running,
    parts: AnswerParts,
  ): Promise<JsonRpcResponse> {
    let session = await this.ready();
    for (let again = false; ; again = true) {
      if (parts.ending.ended) throw new Failure('server_lost', 'given up');
      running.begun = true;
      try {
        return await call(request, { ...this.callParts(session, request.id), ...parts });
      } catch (error) {
        if (again || !hasForgotten(error)) throw error;
        session = await this.renew(session);
      }
    }
  }

  private callParts(
    { headers, generation }: Pick<PrivateSession, 'headers' | 'generation'>,
    related: RequestId | undefined,
  ): CallParts {
    const { target, reader, clock, timeoutMs } = this.parts;
    return {
      ...{ target, reader, clock, headers, origin: this.origin, ending: this.life },
      patienceMs: timeoutMs,
      onMessage: (message) => this.heard(message, related, generation),
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
      if (this.life.ended) throw new Failure('server_lost', 'closed meanwhile');
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
      origin: () => this.origin,
      onMessage: (message) => this.heard(message, undefined, generation),
      onForgotten: () => this.renew(session),
    });
    return session;
  }

  /** The private session, once the server has been told all that it has to know before a request. */
  private async ready(): Promise<PrivateSession> {
    const session = await (this.settling ?? this.session);
    await this.announcing;
    await session?.listen();
    // It may have been made again while we waited.
    const now = this.session ?? session;
    if (now === undefined) throw new Failure('server_unreachable', 'there is no session');
    // What the server says of a session that it never had is not to be relied on: some take any id.
    return now.isLost ? this.renew(now) : now;
  }

  private async announced(): Promise<PrivateSession | undefined> {
    const session = await (this.settling ?? this.session);
    // What it says on this occasion would be lost without the stream.
    await session?.listen();
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
  private renew(forgotten: PrivateSession): Promise<PrivateSession> {
    if (this.settling !== undefined) return this.settling;
    if (this.session !== undefined && this.session !== forgotten) {
      return Promise.resolve(this.session);
    }
    return this.settle(this.remake(forgotten));
  }

  private async remake(forgotten: PrivateSession): Promise<PrivateSession> {
    const parts = { origin: this.origin, ending: this.life };
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
      this.session = session;
      this.parts.refusals.madeAgain();
      return session;
    } finally {
      this.muted = undefined;
    }
  }

  private async tellAll(session: PrivateSession): Promise<void> {
    await session.listen();
    const initialized = { jsonrpc: '2.0' as const, method: 'notifications/initialized' };
    if (this.shape.active) await this.post(session, initialized, this.origin);
    for (const { method, params } of requestsBetween(UNSHAPED, this.shape)) {
      await this.within(
        HANDSHAKE_MS,
        this.own(method, { ...params }),
        this.callParts(session, undefined),
      );
    }
    await this.calmDown(session);
  }

  /** What the transport has replayed is known to the server, and what it says because of that has been said. */
  private async caughtUp(): Promise<void> {
    await this.telling;
    const session = await this.ready();
    if (this.shape.active) await this.calmDown(session);
  }

  /** Whatever it sends on being initialized, it sends before it answers what it is asked afterwards. */
  private async calmDown(session: PrivateSession): Promise<void> {
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

  private async cancel(message: JsonRpcNotification, origin: Origin | undefined): Promise<void> {
    const running = this.running.get(message.params?.requestId as RequestId);
    if (running === undefined) return;
    if (running.begun) {
      // On another connection than the request, which it must not overtake.
      await running.sent;
      await this.tell(message, origin, () => this.session);
    }
    running.ending.end();
  }

  /** Hands the server a message that asks for nothing; never rejects. */
  private async tell(
    message: JsonRpcMessage,
    origin: Origin | undefined,
    sessionOf: () => Promise<PrivateSession | undefined> | PrivateSession | undefined,
  ): Promise<void> {
    try {
      const session = await sessionOf();
      const known = session && unmarked(message, session.generation);
      if (session === undefined || known === undefined) return;
      await this.post(session, known, origin).catch(async (error: unknown) => {
        if (!hasForgotten(error)) throw error;
        const renewed = await this.renew(session);
        // Whatever it answers was asked in the old one; and that there is a client, the new one has been told.
        if ('method' in message && message.method !== 'notifications/initialized') {
          await this.post(renewed, message, origin);
        }
      });
    } catch (error) {
      if (this.life.ended) return;
      this.parts.logger.warn(`mcp-anynode: the server did not get a message: ${String(error)}`);
    }
  }

  private async post(
    { headers }: PrivateSession,
    message: JsonRpcMessage,
    origin: Origin | undefined,
  ): Promise<void> {
    const { target, reader, timeoutMs } = this.parts;
    const response = await target.send({
      method: 'POST',
      headers: { ...headers, accept: ACCEPT_BOTH, 'content-type': 'application/json' },
      body: JSON.stringify(message),
      ...{ origin, timeoutMs, ending: this.life },
    });
    if (!isSuccess(response)) throw await reader.refusal(response);
    // There is nothing to be said; a stream would never end.
    if (kindOf(response) === 'events') response.destroy();
    else reader.discard(response);
  }

  /** A message of the server that is no answer; never rejects. */
  private heard(
    message: JsonRpcMessage,
    related: RequestId | undefined,
    generation: number,
  ): Promise<void> {
    return this.hear(message, related, generation).catch((error: unknown) => {
      this.parts.logger.error(`mcp-anynode: a message of the server failed: ${String(error)}`);
    });
  }

  private async hear(
    message: JsonRpcMessage,
    related: RequestId | undefined,
    generation: number,
  ): Promise<void> {
    if (isResponse(message)) return;
    if (!isRequest(message) && this.muted === generation) return;
    const known = await this.emit(marked(message, generation), related);
    if (known || !isRequest(message)) return;
    const refusal = errorResponse(message.id, ErrorCode.ConnectionClosed, 'Connection closed');
    const session = this.latest;
    if (session?.generation === generation) {
      await this.post(session, refusal, this.origin).catch(() => undefined); // it has ended
    }
  }

  /** `false`: nobody hears it any more. */
  private async emit(message: JsonRpcMessage, related: RequestId | undefined): Promise<boolean> {
    try {
      const options = related === undefined ? undefined : { relatedRequestId: related };
      await this.transport?.send(message, options);
      return true;
    } catch (error) {
      // A call that has ended meanwhile has no stream, which is the server's affair as little as its client's.
      if (error instanceof AnynodeError && error.code === 'backplane_unavailable') {
        this.parts.logger.warn(`mcp-anynode: a message of the server is lost: ${String(error)}`);
      }
      return false;
    }
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
