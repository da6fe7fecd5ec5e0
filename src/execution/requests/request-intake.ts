import type { Operation } from '../../backplane/backplane.js';
import { auditFull } from '../../protocol/errors.js';
import { isRequest } from '../../protocol/json/jsonrpc.js';
import type { LiveSession } from '../../replica/live-session.js';
import type { DeliveryContext } from '../../replica/replica.js';
import type { ReplicaPool } from '../../replica/replica-pool.js';
import type { NodeContext } from '../../stream/node-context.js';
import type { BegunStreams } from '../../stream/begun-streams.js';
import { isHere, toReceiveOperation } from '../messages/client-message-routing.js';
import type { ClientMessages, Inbound } from '../messages/client-messages.js';
import { commitOutcome } from '../commit-outcome.js';
import type { Ownership } from '../ownership/ownership.js';
import type { RequestRunner } from './request-runner.js';
import type { EarlyIntake } from './early-intake.js';
import { announcement } from '../reserved-sessions.js';
import type { NewStream, NotStored, StoredRequests } from './stored-requests.js';
import { GONE, openOperation, refusedBy } from './stored-requests.js';
import type { SessionAccess } from '../session-access.js';

/** Stores POSTs with requests, opens a stream for each, and begins the requests that this node is to run. */
export class RequestIntake {
  constructor(
    private readonly node: NodeContext,
    private readonly parts: {
      pool: ReplicaPool;
      access: SessionAccess;
      ownership: Ownership;
      clientMessages: ClientMessages;
      runner: RequestRunner;
      begunStreams: BegunStreams;
      early: EarlyIntake;
    },
  ) {}

  /**
   * Stores a POST with requests and opens its stream, in one step. The caller must call `begin` or `abandon` afterwards. A request
   * that changes nothing may have begun by then, and may have ended. Without `context` it does not begin early: a name of a stream
   * must not be used for a second exchange.
   */
  async store(
    inbound: Inbound,
    stream: NewStream,
    context?: DeliveryContext,
  ): Promise<StoredRequests | NotStored> {
    const live = this.parts.pool.getOrCreate(inbound.sessionId);
    const unpin = this.pinned(live);
    try {
      const early = context && (await this.parts.early.store(live, inbound, stream, context));
      const stored = early ?? (await this.commit(live, inbound, stream));
      if (!('reason' in stored)) return { ...stored, unpin };
      unpin();
      return stored;
    } catch (error) {
      unpin();
      throw error;
    }
  }

  private async commit(
    live: LiveSession,
    { sessionId, principal, messages, text }: Inbound,
    stream: NewStream,
  ): Promise<Omit<StoredRequests, 'unpin'> | NotStored> {
    const { node } = this;
    const { access, ownership } = this.parts;
    if (access.mayBeStranger(principal, live) && (await access.isStranger(principal, live))) {
      return GONE;
    }
    const requests = messages.filter(isRequest);
    const others = messages.filter((message) => !isRequest(message));
    const { revision } = live;
    const { owned } = node.settings;
    const operations: Operation[] = [
      openOperation(node, { principal, requests, text }, stream, revision),
      ...announcement(node, live, stream.name),
      ...others.map((message) =>
        toReceiveOperation(message, JSON.stringify(message), principal, { revision, owned }),
      ),
    ];
    // The requests that came before are counted before this one.
    live.early.storeHeld();
    const askedAt = node.clock.elapsed();
    const committed = await node.commitQueue.submit(sessionId, operations);
    if (committed === 'gone') return GONE;
    const { reply, results } = committed;
    const [opened] = results;
    if (opened?.status === 'denied') return GONE;
    if (opened?.status === 'full') throw auditFull();
    live.principal = principal;
    if (opened?.status !== 'opened') return refusedBy(opened);
    if (reply.record !== undefined) live.followedBy = reply.followedBy;
    live.announcedAt = askedAt;
    ownership.discardIfElsewhere(live, committed);
    return {
      ...{ live, messages, others, committed, askedAt },
      stream: stream.name,
      position: opened.position,
      owner: opened.owner,
      otherResults: results.slice(operations.length - others.length),
    };
  }

  /**
   * Hands the messages to the replica, and builds one if there is none. Messages for other nodes are sent there, except
   * requests that have an `owner`. The stream must have a follower before this is called. Does not wait for the requests.
   */
  begin(
    { live, messages, others, otherResults, committed, askedAt, unpin, ...stored }: StoredRequests,
    context: DeliveryContext,
  ): void {
    const { ownership, clientMessages, runner } = this.parts;
    const { stream, owner, begun } = stored;
    if (begun !== undefined) {
      begun(this.node.followers);
      unpin();
      return;
    }
    if (owner === undefined) this.parts.begunStreams.noteOpened(stream);
    const outcome = commitOutcome(committed, askedAt);
    const passing =
      others.length === 0
        ? undefined
        : ownership.passOn(live, others, otherResults, context, (message) =>
            clientMessages.deliverToReplica(live, [message], outcome, context),
          );
    const here = messages.filter((message) =>
      isRequest(message) ? owner === undefined : isHere(otherResults[others.indexOf(message)]),
    );
    const run = runner.run(live, here, stream, outcome, context);
    (passing === undefined ? run : Promise.all([run, passing])).then(unpin, (error: unknown) => {
      this.node.logger.error(`mcp-anynode: ${String(error)}`);
      unpin();
    });
  }

  /** Gives up a stream that no connection can follow. */
  abandon({ live, messages, stream, begun, unpin }: StoredRequests): void {
    begun?.(undefined);
    const requests = messages.filter(isRequest).map(({ id }) => JSON.stringify(id));
    const abandon = { type: 'abandon' as const, stream, requests };
    this.node.commitQueue.store(live.id, [abandon], true).catch(() => undefined); // this node has closed
    unpin();
  }

  /** Keeps the session in use until the returned function is called. */
  private pinned(live: LiveSession): () => void {
    const unpin = live.pin();
    return () => {
      unpin();
      this.parts.pool.dropIfEmpty(live);
    };
  }
}
