import type { JsonRpcMessage } from '../../protocol/json/jsonrpc.js';
import { isInitialized, isRequest } from '../../protocol/json/jsonrpc.js';
import { isSessionEnded } from '../../protocol/errors.js';
import type { LiveSession } from '../../replica/live-session.js';
import { nodeLost } from '../../replica/requests/request-errors.js';
import type { DeliveryContext } from '../../replica/replica.js';
import type { ReplicaPool } from '../../replica/replica-pool.js';
import type { NodeContext } from '../../stream/node-context.js';
import type { ClientMessages } from '../messages/client-messages.js';
import type { CommitOutcome } from '../commit-outcome.js';
import { recordFor } from '../commit-outcome.js';
import type { Ownership } from '../ownership/ownership.js';
import { introduced } from '../reserved-sessions.js';

/** Hands requests that this node executes to the session's replica, and builds one if there is none. */
export class RequestRunner {
  constructor(
    private readonly node: NodeContext,
    private readonly pool: ReplicaPool,
    private readonly ownership: Ownership,
    private readonly clientMessages: ClientMessages,
  ) {}

  /**
   * Runs the requests among `messages` and hands the others over, in their order. `outcome` belongs to the commit that gave
   * the requests to this node. Requests that cannot run end with an error. Rejects only if this node has closed.
   */
  async run(
    live: LiveSession,
    messages: JsonRpcMessage[],
    stream: string,
    outcome: CommitOutcome,
    context: DeliveryContext,
  ): Promise<void> {
    if (messages.length === 0) return;
    const requests = messages.filter(isRequest);
    const stopped = live.expect(requests, stream);
    try {
      if (stopped !== undefined) await stopped;
      const record = introduced(recordFor(outcome), requests);
      // Every call takes this path, so it awaits nothing that it does not need.
      if (record !== undefined || !live.hasReplica) {
        await this.pool.prepare(live, record, context);
      }
      if (this.node.settings.owned && (await this.ownership.isFenced(live, outcome.askedAt)))
        return;
    } catch (error) {
      if (isSessionEnded(error)) {
        // If the session has ended, these errors are not stored. If another node owns it now, that node took these requests
        // before they began.
        await live.failAll((id) => nodeLost(id, this.node.nodeId));
        return;
      }
      this.node.logger.error(`mcp-anynode: no server for a session: ${String(error)}`);
      await live.fail(requests, error);
      return;
    }
    for (const message of messages) {
      if (isRequest(message)) live.call(message, context);
      else if (outcome.initialized && isInitialized(message)) {
        live.deliverChange(message, outcome.revision);
      } else this.clientMessages.deliverHere(live.id, message);
    }
  }
}
