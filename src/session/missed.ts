/** What clients have said to this node while it could not hear. */
import type { Membership } from '../backplane/backplane.js';
import type { JsonRpcMessage } from '../protocol/jsonrpc.js';
import { isNotification, isResponse } from '../protocol/jsonrpc.js';

/** How far back to look: longer than an outage that clients and calls live through. */
const MISSED_MS = 15 * 60_000;
const HISTORY_PAGE = 500;

/** Reads the answers and cancellations of a session, of which this node may have missed some, in the log. */
export async function readMissed(
  membership: Pick<Membership, 'history'>,
  sessionId: string,
  now: number,
  deliver: (message: JsonRpcMessage) => void,
): Promise<void> {
  for (let after = `${now - MISSED_MS}-0`; ;) {
    const entries = await membership.history(sessionId, after, HISTORY_PAGE);
    for (const { direction, stream, message: text } of entries) {
      if (direction !== 'in' || stream !== undefined || text === undefined) continue;
      const message = JSON.parse(text) as JsonRpcMessage;
      const cancels = isNotification(message) && message.method === 'notifications/cancelled';
      if (cancels || isResponse(message)) deliver(message);
    }
    const last = entries.at(-1);
    if (last === undefined || entries.length < HISTORY_PAGE) return;
    after = last.logId;
  }
}
