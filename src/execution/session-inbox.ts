import { setImmediate } from 'node:timers';
import type { LogId, NodeMessageOf } from '../backplane/backplane.js';
import { justBefore } from '../backplane/backplane.js';
import { backOff, LOG_PAUSES } from '../protocol/backoff.js';
import { AnynodeError } from '../protocol/errors.js';
import type { NodeContext } from '../stream/node-context.js';

/** So many characters may wait for one session while a message of it is read from the log. */
const MOST_WAITING = 4 * 1024 * 1024;
/** What one counts for beside its text. */
const ENTRY = 200;

interface Queue {
  /** Resolves when what came last has been handed over. */
  last?: Promise<void>;
  /** How many characters wait, or are being handed over. */
  waiting: number;
  dropped: boolean;
}

/**
 * What clients have sent to other nodes, for this one. Small messages come along with the word of them, big ones are read
 * from the log; those that come while one is being read wait for it, so that a session's are in order.
 *
 * Each has a turn of the event loop of its own, as if it had come by HTTP: after a busy moment several come in one piece,
 * and a server starts its handlers of notifications in a microtask, but takes answers at once. Progress that the client had
 * reported before its answer would find nobody who waits for it.
 */
export class SessionInbox {
  /** By session. */
  private readonly reading = new Map<string, Queue>();

  constructor(
    private readonly node: Pick<NodeContext, 'membership' | 'clock' | 'logger'>,
    private readonly hand: (sessionId: string, text: string, context: string | undefined) => void,
    /** Messages were dropped, since too many had waited. They are in the log. */
    private readonly onDropped: () => void,
  ) {}

  onDeliver({ sessionId, message, context }: NodeMessageOf<'deliver'>): void {
    const size = message.length + (context?.length ?? 0);
    this.queue(sessionId, size, () => this.hand(sessionId, message, context));
  }

  onLogged({ sessionId, logId, context }: NodeMessageOf<'logged'>): void {
    this.queue(sessionId, context?.length ?? 0, async () => {
      const text = await this.read(sessionId, logId, context !== undefined);
      if (text !== undefined) this.hand(sessionId, text, context);
    });
  }

  private queue(sessionId: string, text: number, step: () => void | Promise<void>): void {
    const size = text + ENTRY;
    const queue = this.reading.get(sessionId) ?? { waiting: 0, dropped: false };
    if (queue.waiting > 0 && queue.waiting + size > MOST_WAITING) {
      queue.dropped = true;
      return;
    }
    queue.waiting += size;
    const last = this.take(queue.last, step).then(() => {
      queue.waiting -= size;
      if (queue.last !== last) return;
      this.reading.delete(sessionId);
      if (queue.dropped) this.onDropped();
    });
    queue.last = last;
    this.reading.set(sessionId, queue);
  }

  /** At once where nothing is waited for. Never rejects. */
  private async take(
    before: Promise<void> | undefined,
    step: () => void | Promise<void>,
  ): Promise<void> {
    if (before !== undefined) await before;
    try {
      await step();
    } catch (error) {
      if (isClosed(error)) return;
      this.node.logger.error(`mcp-anynode: a message of another node failed: ${String(error)}`);
    }
    await new Promise((resolve) => setImmediate(resolve));
  }

  /** Tried until the log could be read, since nobody else would look. `undefined`: it is no longer kept. */
  private async read(
    sessionId: string,
    logId: LogId,
    wasAddressed: boolean,
  ): Promise<string | undefined> {
    const { membership, clock } = this.node;
    for (let failures = 0; ; failures += 1) {
      try {
        if (membership.received !== undefined) {
          return await membership.received(sessionId, logId, wasAddressed);
        }
        const [entry] = await membership.history(sessionId, justBefore(logId), 1);
        return entry?.logId === logId ? entry.message : undefined;
      } catch (error) {
        if (isClosed(error)) throw error;
        await backOff(failures, LOG_PAUSES, clock);
      }
    }
  }
}

function isClosed(error: unknown): boolean {
  return error instanceof AnynodeError && error.code === 'closed';
}
