import { AnynodeError } from '../protocol/errors.js';
import type { HttpAnswer } from '../protocol/http-answer.js';
import type {
  JsonRpcMessage,
  JsonRpcNotification,
  JsonRpcRequest,
  JsonRpcResponse,
  RequestId,
} from '../protocol/json/jsonrpc.js';
import { ErrorCode, errorResponse, isRequest, isResponse } from '../protocol/json/jsonrpc.js';
import type { DeliveryContext } from '../replica/replica.js';
import type { Shape } from '../replica/session-shape.js';
import { effectOf, UNSHAPED, withEffect } from '../replica/session-shape.js';
import type { SendOptions, ServerLike, ServerTransport } from '../options/public-types.js';
import { MESSAGE_COST, STUCK_BYTES } from './bounds.js';
import { call } from './intercepted-call.js';
import { Ending } from './ending.js';
import { errorOf, Failure, hasForgotten, initializeError } from './failure.js';
import { marked, unmarked } from './private-ids.js';
import type { Origin } from './http/origin.js';
import { originOf } from './http/origin.js';
import type { InterceptedParts, PrivateSession } from './private-session.js';
import type { AnswerParts, Replica } from './private-sessions.js';
import { PrivateSessions } from './private-sessions.js';

interface Running {
  ending: Ending;
  /** Resolves when the request was sent to the server, or when the call has ended without that. */
  sent: Promise<void>;
  begun: boolean;
}

/**
 * A server object for a server that is reached over HTTP. Each message that the transport delivers becomes a POST of its own.
 * Messages that come back, on the responses and on a GET stream, are sent through the transport. So the node builds,
 * initializes, keeps and discards this object like any other server object.
 */
export class InterceptedServer implements ServerLike, Replica {
  private transport: ServerTransport | undefined;
  private readonly sessions: PrivateSessions;
  /** Resolves when `notifications/initialized` was sent to the server. */
  private announcing: Promise<void> = Promise.resolve();
  /** Resolves when all notifications so far were sent. They are sent one after the other. */
  private telling: Promise<void> = Promise.resolve();
  /**
   * Resolves when all answers and progress so far were sent to the server. They have a queue of their own, so that they do
   * not wait for notifications.
   */
  private answering: Promise<void> = Promise.resolve();
  private readonly running = new Map<RequestId, Running>();
  readonly life = new Ending();
  shape: Shape = UNSHAPED;
  private backlog = 0;

  constructor(
    private readonly parts: InterceptedParts,
    /** The origin of the request for which this server is built, and later that of the client's last message. */
    public origin: Origin | undefined,
  ) {
    this.sessions = new PrivateSessions(parts, this);
  }

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
    // A private session that is being made is removed by the code that makes it.
    await this.sessions.current?.remove();
  }

  private take(message: JsonRpcMessage, extra: DeliveryContext | undefined): void {
    this.origin = originOf(extra, this.parts.target) ?? this.origin;
    const { origin } = this;
    if (isRequest(message)) {
      void this.answer(message, origin, extra?.closeSSEStream);
    } else if (isResponse(message) || message.method === 'notifications/progress') {
      const before = this.answering;
      this.answering = this.inLine(message, () =>
        before.then(() => this.tell(message, origin, () => this.sessions.latest)),
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

  /**
   * Counts a message in the backlog until `step` has sent it to the server. The client may have had its 202 before, so it
   * does not notice by itself that the server is too slow. If the backlog is too long, ends this server object.
   */
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

  /** Answers a request of the client. Never rejects. */
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
    let httpAnswer: HttpAnswer | undefined;
    try {
      answer = await (isInitialize
        ? this.sessions.begin(request, parts)
        : this.run(request, running, parts));
    } catch (error) {
      // The client has cancelled the request, or the session has ended. No answer is needed.
      if (ending.ended) return;
      if (isInitialize) ({ answer, httpAnswer } = initializeError(request.id, error));
      else answer = errorOf(request.id, error);
    } finally {
      onSent();
      this.running.delete(request.id);
    }
    const effect = 'result' in answer ? effectOf(request) : undefined;
    if (effect !== undefined) this.shape = withEffect(this.shape, effect);
    await this.emit({ ...answer, id: request.id }, httpAnswer && { httpAnswer });
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
        return await call(request, { ...this.sessions.callParts(session, request.id), ...parts });
      } catch (error) {
        if (again || !hasForgotten(error)) throw error;
        session = await this.sessions.renew(session);
      }
    }
  }

  /**
   * Returns the private session for a request. First waits until `notifications/initialized` was sent and the GET stream was
   * opened.
   */
  private async ready(): Promise<PrivateSession> {
    const session = await this.sessions.settled();
    await this.announcing;
    await session?.listen();
    // Meanwhile another private session may have taken its place.
    const now = this.sessions.current ?? session;
    if (now === undefined) throw new Failure('server_unreachable', 'there is no session');
    // Make a lost session again now. The server may not refuse its id, because some servers accept any id.
    return now.isLost ? this.sessions.renew(now) : now;
  }

  private async announced(): Promise<PrivateSession | undefined> {
    const session = await this.sessions.settled();
    // Without the stream, messages that the server sends because of `initialized` would be lost.
    await session?.listen();
    return session;
  }

  /** Resolves when the server knows what the transport has replayed, and has sent its messages about that. */
  private async caughtUp(): Promise<void> {
    await this.telling;
    const session = await this.ready();
    if (this.shape.active) await this.sessions.calmDown(session);
  }

  private async cancel(message: JsonRpcNotification, origin: Origin | undefined): Promise<void> {
    const running = this.running.get(message.params?.requestId as RequestId);
    if (running === undefined) return;
    if (running.begun) {
      // The cancellation takes another connection than the request, and must not overtake it.
      await running.sent;
      await this.tell(message, origin, () => this.sessions.current);
    }
    running.ending.end();
  }

  /** Sends the server a notification or an answer. Never rejects. */
  private async tell(
    message: JsonRpcMessage,
    origin: Origin | undefined,
    sessionOf: () => Promise<PrivateSession | undefined> | PrivateSession | undefined,
  ): Promise<void> {
    try {
      const session = await sessionOf();
      const known = session && unmarked(message, session.generation);
      if (session === undefined || known === undefined) return;
      await this.sessions.post(session, known, origin).catch(async (error: unknown) => {
        if (!hasForgotten(error)) throw error;
        const renewed = await this.sessions.renew(session);
        // An answer is not repeated, because its question came from the old session. Nor is `initialized`, which the new
        // session has had already.
        if ('method' in message && message.method !== 'notifications/initialized') {
          await this.sessions.post(renewed, message, origin);
        }
      });
    } catch (error) {
      if (this.life.ended) return;
      this.parts.logger.warn(`mcp-anynode: the server did not get a message: ${String(error)}`);
    }
  }

  /** Handles a request or notification of the server. Never rejects. */
  heard(
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
    if (!isRequest(message) && this.sessions.isMuted(generation)) return;
    const known = await this.emit(
      marked(message, generation),
      related === undefined ? undefined : { relatedRequestId: related },
    );
    if (known || !isRequest(message)) return;
    const refusal = errorResponse(message.id, ErrorCode.ConnectionClosed, 'Connection closed');
    const session = this.sessions.latest;
    if (session?.generation === generation) {
      await this.sessions.post(session, refusal, this.origin).catch(() => undefined); // the session has ended
    }
  }

  /** Sends a message through the transport. Returns false if no client gets it any more. */
  private async emit(message: JsonRpcMessage, options: SendOptions | undefined): Promise<boolean> {
    try {
      await this.transport?.send(message, options);
      return true;
    } catch (error) {
      // Sending also fails if the call has ended meanwhile, because it then has no stream. That is no fault, so it is not
      // logged.
      if (error instanceof AnynodeError && error.code === 'backplane_unavailable') {
        this.parts.logger.warn(`mcp-anynode: a message of the server is lost: ${String(error)}`);
      }
      return false;
    }
  }
}
