import type { Position } from '../backplane/backplane.js';
import type { JsonRpcMessage } from '../protocol/jsonrpc.js';
import { isRequest } from '../protocol/jsonrpc.js';
import type { DeliveryContext } from '../replica/replica.js';
import type { Cursors } from '../stream/cursor.js';
import type { Follower } from '../stream/followers/follower.js';
import type { ClientMessages, Inbound } from './messages/client-messages.js';
import type { NodeLifetime } from './node-lifetime.js';
import type { OwnerHandover } from './ownership/owner-handover.js';
import type { OrphanRecovery } from './recovery/orphan-recovery.js';
import type { NotStored, RequestIntake, StoredRequests } from './request-intake.js';
import type { SessionAccess } from './session-access.js';
import type { SessionService } from './session-service.js';
import type { SessionStart } from './session-start.js';

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
  handovers: OwnerHandover;
  lifetime: NodeLifetime;
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
  initialize(
    ...args: Parameters<SessionStart['initialize']>
  ): ReturnType<SessionStart['initialize']> {
    return this.parts.start.initialize(...args);
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
    const { intake, orphans, handovers } = this.parts;
    const stored = await this.store(inbound, stream);
    if ('reason' in stored) return stored.reason;
    const { owner } = stored;
    const follower = this.followStored(stored, follow);
    if (follower === undefined) return 'unfollowed';
    if (owner === undefined) orphans.watchOwn(follower, context);
    intake.begin(stored, context);
    if (owner !== undefined)
      handovers.handOver(follower, owner, context, textsOf(inbound.messages));
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
    const { orphans, handovers } = this.parts;
    if (executor === undefined) return;
    if (unbegun === true) handovers.handOver(follower, executor, context, undefined);
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
    stream: { name: string; token: string },
  ): Promise<StoredRequests | NotStored> {
    const stored = await this.parts.intake.store(inbound, stream);
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

function textsOf(messages: JsonRpcMessage[]): string[] {
  return messages.filter(isRequest).map((request) => JSON.stringify(request));
}
