import type { Position } from '../backplane/backplane.js';
import type { JsonRpcMessage, JsonRpcResponse } from '../protocol/json/jsonrpc.js';
import { isRequest } from '../protocol/json/jsonrpc.js';
import type { ArrivedBy, NodeTelemetry } from '../options/node-telemetry.js';
import type { DeliveryContext } from '../replica/replica.js';
import type { Cursors } from '../stream/cursor.js';
import type { Follower } from '../stream/followers/follower.js';
import type { ClientMessages, Inbound } from './messages/client-messages.js';
import type { NodeLifetime } from './node-lifetime.js';
import type { OrphanRecovery } from './recovery/orphan-recovery.js';
import type { RequestIntake } from './requests/request-intake.js';
import type { SessionAccess } from './session-access.js';
import type { SessionService } from './session-service.js';
import type { SessionStart } from './session-start.js';
import { InitializeRefused } from './session-start.js';
import type { NewStream, NotStored, StoredRequests } from './requests/stored-requests.js';

/** A stream whose requests are stored and do not run yet, as given to the connection that is to follow it. */
export interface OpenedStream {
  /** The position at which the stream begins. */
  position: Position;
  cursors: Cursors;
  /** The caller must call this when the follower has ended. */
  onEnd: (follower: Follower) => void;
}

/**
 * Why the requests of a POST do not run:
 *
 * - `gone`: the caller has no such session.
 * - `duplicate`: a request id is in use.
 * - `limited`: too many requests of the session run already.
 * - `unfollowed`: no connection can follow the requests.
 */
export type NotServed = NotStored['reason'] | 'unfollowed';

export interface ExecutionParts {
  start: SessionStart;
  intake: RequestIntake;
  clientMessages: ClientMessages;
  orphans: OrphanRecovery;
  lifetime: NodeLifetime;
  telemetry: NodeTelemetry | undefined;
}

/**
 * Decides which node runs the requests of a client. While a connection of this node follows a stream, makes sure that each
 * request of the stream ends once. All transports use this one entry.
 */
export class Execution {
  constructor(
    readonly sessions: SessionService,
    readonly access: SessionAccess,
    private readonly parts: ExecutionParts,
  ) {}

  /** See {@link SessionStart.initialize}. */
  async initialize(
    ...args: Parameters<SessionStart['initialize']>
  ): ReturnType<SessionStart['initialize']> {
    const { start, telemetry } = this.parts;
    if (telemetry === undefined) return start.initialize(...args);
    const [request, { id: sessionId }, delivery] = args;
    // The stream has no name yet. The id of the session is unique too, and takes the place of the name.
    const name = { stream: sessionId, id: request.id };
    telemetry.requestArrived(name.stream, request, sessionId, arrivedBy(delivery));
    let failure: string | undefined = 'not_initialized';
    let answer: JsonRpcResponse | undefined;
    try {
      const born = await telemetry.runWithin(name, () => start.initialize(...args));
      answer = born.exchange.answer;
      failure = undefined;
      return born;
    } catch (error) {
      if (error instanceof InitializeRefused) answer = error.exchange.answer;
      throw error;
    } finally {
      telemetry.requestEnded(name, answer, answer === undefined ? failure : undefined);
    }
  }

  /** See {@link SessionStart.reserve}. */
  reserve(...args: Parameters<SessionStart['reserve']>): Promise<void> {
    return this.parts.start.reserve(...args);
  }

  /** See {@link ClientMessages.storeAndDeliver}. */
  storeAndDeliver(
    inbound: Inbound,
    context: DeliveryContext,
  ): ReturnType<ClientMessages['storeAndDeliver']> {
    return this.parts.clientMessages.storeAndDeliver(inbound, context);
  }

  /**
   * Stores a POST with requests and opens its stream. Then the requests run here, or on the node that owns the session.
   * Resolves when they are stored. Their answers reach the client through the follower.
   *
   * `follow` connects the client to the stream. If it returns `undefined`, no connection can follow, and the requests are
   * given up. Rejects with `backplane_unavailable` if nothing was stored.
   */
  async serve(
    inbound: Inbound,
    stream: { name: string; token: string },
    context: DeliveryContext,
    follow: (opened: OpenedStream) => Follower | undefined,
  ): Promise<'served' | NotServed> {
    const { telemetry } = this.parts;
    if (telemetry?.isOff() !== false) return this.serveStored(inbound, stream, context, follow);
    const { sessionId, messages } = inbound;
    const requests = messages.filter(isRequest);
    const by = arrivedBy(context);
    const [trace] = requests.map((each) =>
      telemetry.requestArrived(stream.name, each, sessionId, by),
    );
    let refused: string | undefined = 'not_stored';
    try {
      const served = await this.serveStored(inbound, stream, { ...context, trace }, follow);
      refused = served === 'served' ? undefined : served;
      return served;
    } finally {
      if (refused !== undefined) {
        const name = stream.name;
        for (const { id } of requests)
          telemetry.requestEnded({ stream: name, id }, undefined, refused);
      }
    }
  }

  private async serveStored(
    inbound: Inbound,
    stream: { name: string; token: string },
    context: DeliveryContext,
    follow: (opened: OpenedStream) => Follower | undefined,
  ): Promise<'served' | NotServed> {
    const { intake, orphans, telemetry } = this.parts;
    const stored = await this.store(inbound, { ...stream, trace: context.trace }, context);
    if ('reason' in stored) return stored.reason;
    const { owner } = stored;
    const follower = this.followStored(stored, follow);
    if (follower === undefined) return 'unfollowed';
    if (owner !== undefined) {
      for (const { id } of inbound.messages.filter(isRequest))
        telemetry?.requestHandedOn({ stream: stream.name, id }, owner);
      // If the client left while its requests were being stored, telemetry heard of that before it knew where they run.
      if (follower.ended) telemetry?.connectionEnded(stream.name);
    }
    intake.begin(stored, context);
    if (owner === undefined) orphans.watchOwn(follower, context);
    else orphans.handOver(follower, owner, context, textsOf(inbound.messages));
    return 'served';
  }

  /**
   * Looks after a stream that a connection of this node has resumed or taken over. Its requests run on `executor`, or are to
   * be begun there (`unbegun`). If a request runs again here, it runs with `context`.
   */
  follow(
    follower: Follower,
    { executor, unbegun }: { executor?: string | undefined; unbegun?: boolean | undefined },
    context: DeliveryContext,
    isDead = false,
  ): void {
    const { orphans } = this.parts;
    if (executor === undefined) return;
    if (unbegun === true) orphans.handOver(follower, executor, context);
    else if (isDead) orphans.recoverDead(follower, executor, context);
    else orphans.watch(follower, executor, context);
  }

  /** Stops looking after the requests of a stream whose connection has ended. */
  unfollow(follower: Follower): void {
    this.parts.orphans.unwatch(follower);
  }

  /**
   * Asks `executor` to check whether it still runs the requests of a stream. Requests that it does not run end with an
   * error.
   */
  askExecutor(executor: string, sessionId: string, stream: string): void {
    this.parts.orphans.askExecutor(executor, [{ sessionId, stream }]);
  }

  /** Stores the requests. If open requests of dead nodes prevented that, ends those and tries once more. */
  private async store(
    inbound: Inbound,
    stream: NewStream,
    context: DeliveryContext,
  ): Promise<StoredRequests | NotStored> {
    const stored = await this.parts.intake.store(inbound, stream, context);
    if (!('reason' in stored) || !(await this.unblock(inbound.sessionId, stored))) return stored;
    return this.parts.intake.store(inbound, stream);
  }

  /**
   * Ends the requests of dead nodes that prevented a commit. No connection followed them. Returns false if there were none.
   */
  private async unblock(sessionId: string, { reason, blockers }: NotStored): Promise<boolean> {
    const { orphans } = this.parts;
    let ended = false;
    for (const { stream, executor } of blockers) {
      if (await orphans.endDead(sessionId, stream, executor)) ended = true;
      // A failover may have lost the end of the request with this id. If so, the node that ran it ends it again.
      else if (reason === 'duplicate' && executor !== '')
        this.askExecutor(executor, sessionId, stream);
    }
    return ended;
  }

  private followStored(
    stored: StoredRequests,
    follow: (opened: OpenedStream) => Follower | undefined,
  ): Follower | undefined {
    const { intake, lifetime } = this.parts;
    const { elsewhere } = lifetime;
    const { position, live, owner } = stored;
    const { cursors } = live;
    let isCounted = owner !== undefined;
    if (isCounted) elsewhere.begin();
    const countEnd = (): void => {
      if (isCounted) elsewhere.end();
      isCounted = false;
    };
    const onEnd = (follower: Follower): void => {
      this.unfollow(follower);
      if (owner !== undefined) this.parts.telemetry?.connectionEnded(follower.stream);
      countEnd();
    };
    let follower: Follower | undefined;
    try {
      follower = follow({ position, cursors, onEnd });
      return follower;
    } finally {
      if (follower === undefined) {
        countEnd();
        intake.abandon(stored);
      }
    }
  }
}

function arrivedBy({ requestInfo, mounted }: DeliveryContext): ArrivedBy {
  const req = mounted?.req as { httpVersion?: string } | undefined;
  return { headers: requestInfo?.headers, httpVersion: req?.httpVersion };
}

function textsOf(messages: JsonRpcMessage[]): string[] {
  return messages.filter(isRequest).map((request) => JSON.stringify(request));
}
