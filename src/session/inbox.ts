import { setImmediate } from 'node:timers';
import type { LogId, NodeMessage } from '../backplane/backplane.js';
import { justBefore } from '../backplane/backplane.js';
import { AnynodeError } from '../errors.js';
import { jittered } from '../protocol/clock.js';
import type { SessionNode } from './node.js';

type Of<Type extends NodeMessage['type']> = Extract<NodeMessage, { type: Type }>;

/**
 * What clients have sent to other nodes, for this one. Small messages come along with the word of them, big ones are read
 * from the log; those that come while one is being read wait for it, so that a session's are in order.
 *
 * Each has a turn of the event loop of its own, as if it had come by HTTP: after a busy moment several come in one piece,
 * and a server starts its handlers of notifications in a microtask, but takes answers at once. Progress that the client had
 * reported before its answer would find nobody who waits for it.
 */
export class Inbox {
  /** By session: until what came last has been handed over. */
  private readonly reading = new Map<string, Promise<void>>();

  constructor(
    private readonly node: Pick<SessionNode, 'membership' | 'clock' | 'logger'>,
    private readonly hand: (sessionId: string, text: string, context: string | undefined) => void,
  ) {}

  onDeliver({ sessionId, message, context }: Of<'deliver'>): void {
    this.queue(sessionId, () => this.hand(sessionId, message, context));
  }

  onLogged({ sessionId, logId, context }: Of<'logged'>): void {
    this.queue(sessionId, async () => {
      const text = await this.read(sessionId, logId);
      if (text !== undefined) this.hand(sessionId, text, context);
    });
  }

  private queue(sessionId: string, step: () => void | Promise<void>): void {
    const turn = this.take(this.reading.get(sessionId), step).finally(() => {
      if (this.reading.get(sessionId) === turn) this.reading.delete(sessionId);
    });
    this.reading.set(sessionId, turn);
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
  private async read(sessionId: string, logId: LogId): Promise<string | undefined> {
    const { membership, clock } = this.node;
    for (let failures = 0; ; failures += 1) {
      try {
        const [entry] = await membership.history(sessionId, justBefore(logId), 1);
        return entry?.logId === logId ? entry.message : undefined;
      } catch (error) {
        if (isClosed(error)) throw error;
        const pause = jittered(Math.min(100 * 2 ** failures, 2000), clock);
        await new Promise<void>((resolve) => clock.after(pause, resolve));
      }
    }
  }
}

function isClosed(error: unknown): boolean {
  return error instanceof AnynodeError && error.code === 'closed';
}
