import type { JsonRpcMessage } from '../../protocol/json/jsonrpc.js';
import { isInitialized, isNotification, isResponse } from '../../protocol/json/jsonrpc.js';
import { auditFull, isSessionEnded } from '../../protocol/errors.js';
import { parseStoredMessage } from '../../protocol/json/parse-stored.js';
import type { LiveSession } from '../../replica/live-session.js';
import type { DeliveryContext } from '../../replica/replica.js';
import type { OutgoingRequests } from '../../replica/requests/outgoing-requests.js';
import type { ReplicaPool } from '../../replica/replica-pool.js';
import type { NodeContext } from '../../stream/node-context.js';
import type { HangUps } from '../../stream/hang-ups.js';
import { isForAsker, isHere, toReceiveOperation } from './client-message-routing.js';
import type { CommitOutcome } from '../commit-outcome.js';
import { commitOutcome, recordFor } from '../commit-outcome.js';
import { unpackContext } from './delivery-context.js';
import type { Ownership } from '../ownership/ownership.js';
import type { SessionAccess } from '../session-access.js';

/** One POST of a client in a session. */
export interface Inbound {
  sessionId: string;
  /** The caller's identity in the backplane's own form. */
  principal: string;
  messages: JsonRpcMessage[];
  /** The body as received, if it is a single message. */
  text: string | undefined;
}

/** Stores the notifications and answers of clients. Then hands each to the replica or the node that it is for. */
export class ClientMessages {
  constructor(
    private readonly node: NodeContext,
    private readonly pool: ReplicaPool,
    private readonly access: SessionAccess,
    private readonly ownership: Ownership,
    private readonly outgoingRequests: OutgoingRequests,
    private readonly hangUps: HangUps,
  ) {}

  /**
   * Stores messages that are not requests, and hands each to its addressee. Resolves when they are stored.
   *
   * - `gone`: the caller has no such session.
   * - `full`: too many earlier messages of the client still wait for the server.
   */
  async storeAndDeliver(
    { sessionId, principal, messages, text }: Inbound,
    context: DeliveryContext,
  ): Promise<'received' | 'gone' | 'full'> {
    const { access } = this;
    if (messages.length === 0) {
      // No commit checks an empty POST, so the backplane is asked whether the caller has this session.
      return (await access.owns(principal, sessionId)) ? 'received' : 'gone';
    }
    const live = this.pool.getOrCreate(sessionId);
    // A cancellation has to find its request in the backplane.
    live.early.storeHeld();
    const releasePin = live.pin();
    let leave = (): void => undefined;
    const unpin = (): void => {
      leave();
      releasePin();
    };
    try {
      if (access.mayBeStranger(principal, live) && (await access.isStranger(principal, live))) {
        unpin();
        this.pool.dropIfEmpty(live);
        return 'gone';
      }
      const { revision } = live;
      const { owned } = this.node.settings;
      const operations = messages.map((message) =>
        toReceiveOperation(message, text ?? JSON.stringify(message), principal, {
          revision,
          owned,
        }),
      );
      const bytes = operations.reduce((sum, { message }) => sum + message.length, 0);
      const admitted = live.admission.take(bytes, live.transport?.backlog?.() ?? 0);
      if (admitted === undefined) {
        unpin();
        // Only the principal of the session learns that the session exists.
        return (await access.owns(principal, sessionId)) ? 'full' : 'gone';
      }
      leave = admitted;
      const askedAt = this.node.clock.elapsed();
      const committed = await this.node.commitQueue.submit(sessionId, operations);
      if (committed === 'gone' || committed.results[0]?.status === 'denied') {
        unpin();
        this.pool.dropIfEmpty(live);
        return 'gone';
      }
      // A commit finds the outbox full for all of its messages, or for none.
      if (committed.results[0]?.status === 'full') throw auditFull();
      live.principal = principal;
      const { reply, results } = committed;
      const forThisNode = messages.filter((_, at) => isHere(results[at]));
      const outcome = commitOutcome(committed, askedAt);
      if (forThisNode.length < messages.length) {
        await this.ownership.passOn(live, messages, results, context, (message) =>
          this.deliverToReplica(live, [message], outcome, context),
        );
      }
      const needsReplica = forThisNode.some((message) => !isForAsker(message));
      if (!needsReplica) {
        for (const message of forThisNode) this.deliverHere(sessionId, message, context);
        unpin();
        this.pool.dropIfEmpty(live);
        return 'received';
      }
      if (reply.record !== undefined) live.followedBy = reply.followedBy;
      // The client gets its acknowledgment once the messages are stored. It does not wait for a replica to be built.
      void this.deliverToReplica(live, forThisNode, outcome, context).finally(unpin);
      return 'received';
    } catch (error) {
      unpin();
      this.pool.dropIfEmpty(live);
      throw error;
    }
  }

  /** Hands stored messages to the session's replica on this node, and builds one if there is none. Never rejects. */
  async deliverToReplica(
    live: LiveSession,
    messages: JsonRpcMessage[],
    outcome: CommitOutcome,
    context: DeliveryContext,
  ): Promise<void> {
    try {
      const record = recordFor(outcome);
      if (record !== undefined || !live.hasReplica) {
        await this.pool.prepare(live, record, context);
      }
      for (const message of messages) {
        if (outcome.initialized && isInitialized(message)) {
          live.deliverChange(message, outcome.revision, context);
        } else this.deliverHere(live.id, message, context);
      }
    } catch (error) {
      if (isSessionEnded(error)) return;
      this.node.logger.error(`mcp-anynode: a notification was not handled: ${String(error)}`);
    }
  }

  /** Hands over a message that a client sent to another node. `context` is the packed context from that node. */
  deliverFromNode(sessionId: string, text: string, context: string | undefined): void {
    const message = parseStoredMessage(text);
    if (message === undefined) throw new Error('it is not a message');
    const unpacked = context && unpackContext(this.hangUps, context, sessionId, undefined);
    this.deliverHere(sessionId, message, unpacked || undefined);
  }

  /** Hands a stored message to the replica or the outgoing request that it is for, if that is on this node. */
  deliverHere(sessionId: string, message: JsonRpcMessage, context?: DeliveryContext): void {
    if (!isForAsker(message)) {
      this.pool.get(sessionId)?.deliver(message, context);
      return;
    }
    const id = isNotification(message) ? message.params?.progressToken : message.id;
    const question = this.outgoingRequests.find(sessionId, id);
    if (question !== undefined && isResponse(message) && message.id !== undefined)
      this.node.telemetry?.questionAnswered(message.id, message);
    question?.asker.deliver(message, context);
    // Waiting for this answer may have been the only thing that kept the replica in use.
    this.pool.get(sessionId)?.used();
  }
}
