import { backOff, LOG_PAUSES } from '../../protocol/backoff.js';
import { AnynodeError } from '../../protocol/errors.js';
import type { JsonRpcMessage } from '../../protocol/jsonrpc.js';
import { isNotification, isResponse } from '../../protocol/jsonrpc.js';
import { parseStoredMessage } from '../../protocol/parse-stored.js';
import type { OutgoingRequests } from '../../replica/requests/outgoing-requests.js';
import type { NodeContext } from '../../stream/node-context.js';

/** How far back to look for what was missed: longer than an outage that clients and calls live through. */
const MISSED_MS = 15 * 60_000;
const HISTORY_PAGE = 500;
/** So many sessions are looked at together. */
const AT_ONCE = 16;

/**
 * Messages to this node may have been lost: reads in the log what clients have said to those who wait here, or run
 * something. What was heard already is not heard twice: an answer has nobody waiting any more, a cancelled call is over.
 * Then looks at what this node owns: a failover may have lost that, or the word that another node owns it was lost.
 */
export class CatchUp {
  /** How often messages may have been lost; only the last time matters. */
  private times = 0;

  constructor(
    private readonly node: Pick<NodeContext, 'clock' | 'membership'>,
    private readonly outgoingRequests: Pick<OutgoingRequests, 'sessions'>,
    private readonly sessions: {
      /** Sessions in which something runs. */
      busy(): string[];
      /** See {@link Ownership.verify}. */
      verify(): Promise<void>;
      deliver(sessionId: string, message: JsonRpcMessage): void;
    },
  ) {}

  /** Tried until the log could be read, since nobody else would look. Rejects only once this node has closed. */
  async catchUp(): Promise<void> {
    const { clock } = this.node;
    this.times += 1;
    const mine = this.times;
    for (let failures = 0; mine === this.times; failures += 1) {
      const waiting = [...new Set([...this.outgoingRequests.sessions(), ...this.sessions.busy()])];
      try {
        for (let at = 0; at < waiting.length && mine === this.times; at += AT_ONCE) {
          const some = waiting.slice(at, at + AT_ONCE);
          await Promise.all(some.map((sessionId) => this.catchUpOn(sessionId)));
        }
        await this.sessions.verify();
        return;
      } catch (error) {
        if (error instanceof AnynodeError && error.code === 'closed') throw error;
        await backOff(failures, LOG_PAUSES, clock);
      }
    }
  }

  private async catchUpOn(sessionId: string): Promise<void> {
    // Ids of log entries are times of the clock that the session goes by. This node's own may be minutes ahead of it.
    const now = await this.node.membership.timeOf(sessionId);
    for (let after = `${now - MISSED_MS}-0`; ;) {
      const entries = await this.node.membership.history(sessionId, after, HISTORY_PAGE);
      for (const { direction, stream, message: text } of entries) {
        if (direction !== 'in' || stream !== undefined || text === undefined) continue;
        const message = parseStoredMessage(text);
        if (message === undefined) continue;
        const cancels = isNotification(message) && message.method === 'notifications/cancelled';
        if (cancels || isResponse(message)) this.sessions.deliver(sessionId, message);
      }
      const last = entries.at(-1);
      if (last === undefined) return;
      after = last.logId;
    }
  }
}
