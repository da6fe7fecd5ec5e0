import { setImmediate } from 'node:timers';
import type { LogId, NodeMessageOf } from '../../backplane/backplane.js';
import { justBefore } from '../../backplane/backplane.js';
import { backOff, LOG_PAUSES } from '../../protocol/timing/backoff.js';
import { AnynodeError } from '../../protocol/errors.js';
import type { NodeContext } from '../../stream/node-context.js';

/** How many characters may wait for one session while one of its messages is read from the log. */
const MOST_WAITING = 4 * 1024 * 1024;
/** How many characters each message counts in addition to its text. */
const ENTRY = 200;

interface Queue {
  /** Resolves when the last message has been handed over. */
  last?: Promise<void>;
  /** How many characters wait or are being handed over. */
  waiting: number;
  dropped: boolean;
}

/**
 * Receives the messages of clients that reached other nodes and are for this node. A small message is part of the node
 * message `deliver`. A large one is read from the log. Later messages of the session wait meanwhile, so that the order
 * holds.
 *
 * Each message gets a turn of the event loop of its own, as if it had come by HTTP. A server starts its handlers of
 * notifications in a microtask, but takes answers at once. Without the turn, progress that came before its answer would find
 * its request already ended.
 */
export class SessionInbox {
  /** The queues of messages, by session. */
  private readonly reading = new Map<string, Queue>();

  constructor(
    private readonly node: Pick<NodeContext, 'backplane' | 'clock' | 'logger'>,
    private readonly deliver: (
      sessionId: string,
      text: string,
      context: string | undefined,
    ) => void,
    /** Called when messages were dropped because too many waited. They can still be read from the log. */
    private readonly onDropped: () => void,
  ) {}

  onDeliver({ sessionId, message, context }: NodeMessageOf<'deliver'>): void {
    const size = message.length + (context?.length ?? 0);
    this.queue(sessionId, size, () => this.deliver(sessionId, message, context));
  }

  onLogged({ sessionId, logId, context }: NodeMessageOf<'logged'>): void {
    this.queue(sessionId, context?.length ?? 0, async () => {
      const text = await this.read(sessionId, logId, context !== undefined);
      if (text !== undefined) this.deliver(sessionId, text, context);
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

  /** Runs a step after the earlier ones, or at once if there are none. Never rejects. */
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

  /**
   * Reads a message from the log. After a failure it tries again, because no other part of the node would hand the message
   * over. Resolves with `undefined` if the log no longer has the message.
   */
  private async read(
    sessionId: string,
    logId: LogId,
    wasAddressed: boolean,
  ): Promise<string | undefined> {
    const { backplane, clock } = this.node;
    for (let failures = 0; ; failures += 1) {
      try {
        if (backplane.received !== undefined) {
          return await backplane.received(sessionId, logId, wasAddressed);
        }
        const [entry] = await backplane.history(sessionId, justBefore(logId), 1);
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
