import { backOff, LOG_PAUSES } from '../../protocol/timing/backoff.js';
import { AnynodeError } from '../../protocol/errors.js';
import type { JsonRpcMessage } from '../../protocol/json/jsonrpc.js';
import { isNotification, isResponse } from '../../protocol/json/jsonrpc.js';
import { parseStoredMessage } from '../../protocol/json/parse-stored.js';
import type { OutgoingRequests } from '../../replica/requests/outgoing-requests.js';
import type { NodeContext } from '../../stream/node-context.js';

/** How far back to look for missed messages. This is longer than an outage that clients and calls survive. */
const MISSED_MS = 15 * 60_000;
const HISTORY_PAGE = 500;
/** How many sessions are read at a time. */
const AT_ONCE = 16;

/**
 * Finds messages of clients that this node has missed, at a time when messages of other nodes may have been lost. Reads the
 * log of each session in which this node runs or awaits something, and delivers answers and cancellations again. A message
 * that was delivered before has no effect: its request is no longer open.
 *
 * Then checks that this node still owns its sessions. A failover may have lost an ownership, or the message about a new
 * owner may have been lost.
 */
export class CatchUp {
  /** Counts the calls of `catchUp`. Each call ends the earlier ones. */
  private times = 0;

  constructor(
    private readonly node: Pick<NodeContext, 'clock' | 'backplane'>,
    private readonly outgoingRequests: Pick<OutgoingRequests, 'sessions'>,
    private readonly sessions: {
      /** Sessions in which requests run on this node. */
      busy(): string[];
      /** See {@link Ownership.verify}. */
      verify(): Promise<void>;
      deliver(sessionId: string, message: JsonRpcMessage): void;
    },
  ) {}

  /**
   * Catches up, and tries again until the log could be read, because no other part reads these messages. Rejects only if
   * this node has closed.
   */
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
    // Ids of log entries are times of the session's backplane server. The clock of this node may be minutes ahead of it.
    const now = await this.node.backplane.timeOf(sessionId);
    for (let after = `${now - MISSED_MS}-0`; ;) {
      const entries = await this.node.backplane.history(sessionId, after, HISTORY_PAGE);
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
