import type { LogId, NodeMessage } from '../backplane/backplane.js';
import { justBefore } from '../backplane/backplane.js';
import { AnynodeError } from '../errors.js';
import { jittered } from '../protocol/clock.js';
import type { SessionNode } from './node.js';

type Of<Type extends NodeMessage['type']> = Extract<NodeMessage, { type: Type }>;

/**
 * What clients have sent to other nodes, for this one. Small messages come along with the word of them, big ones are read
 * from the log; those that come while one is being read wait for it, so that a session's are in order.
 */
export class Inbox {
  /** By session: until what came last has been handed over. */
  private readonly reading = new Map<string, Promise<void>>();

  constructor(
    private readonly node: Pick<SessionNode, 'membership' | 'clock' | 'logger'>,
    private readonly hand: (sessionId: string, text: string, context: string | undefined) => void,
  ) {}

  onDeliver({ sessionId, message, context }: Of<'deliver'>): void {
    const before = this.reading.get(sessionId);
    if (before === undefined) this.hand(sessionId, message, context);
    else this.queue(sessionId, before, () => this.hand(sessionId, message, context));
  }

  onLogged({ sessionId, logId, context }: Of<'logged'>): void {
    this.queue(sessionId, this.reading.get(sessionId), async () => {
      const text = await this.read(sessionId, logId);
      if (text !== undefined) this.hand(sessionId, text, context);
    });
  }

  private queue(
    sessionId: string,
    before: Promise<void> | undefined,
    step: () => void | Promise<void>,
  ): void {
    const turn = (before ?? Promise.resolve())
      .then(step)
      .catch((error: unknown) => {
        if (isClosed(error)) return;
        this.node.logger.error(`mcp-anynode: a message of another node failed: ${String(error)}`);
      })
      .finally(() => {
        if (this.reading.get(sessionId) === turn) this.reading.delete(sessionId);
      });
    this.reading.set(sessionId, turn);
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
