import { setImmediate } from 'node:timers';

/** After an answer of so many characters, the next one waits. To write it as JSON takes about two milliseconds. */
const LARGE = 256 * 1024;

/**
 * Gives each large answer a turn of the event loop for writing it as JSON. The handlers of a batch may all answer in the
 * same turn. Their answers together must not delay other work, such as the renewal of this node's lease.
 */
export class LoopTurns {
  private readonly waiting: (() => void)[] = [];
  private isTaken = false;

  /** Resolves when it is the caller's turn to call `write`. Returns `undefined` if the caller can do so now. */
  next(): Promise<void> | undefined {
    if (!this.isTaken) return undefined;
    return new Promise((resolve) => this.waiting.push(resolve));
  }

  /** Calls `serialize`. After a large answer, the next caller waits for the next turn of the event loop. */
  write<T extends { message: string | undefined }>(serialize: () => T): T {
    let length = 0;
    try {
      const written = serialize();
      length = written.message?.length ?? 0;
      return written;
    } finally {
      if (length < LARGE) this.goOn();
      else {
        this.isTaken = true;
        setImmediate(this.goOn);
      }
    }
  }

  /** Resolves when the answers that wait now are written. */
  async over(): Promise<void> {
    const turn = this.next();
    if (turn === undefined) return;
    await turn;
    this.goOn();
  }

  private readonly goOn = (): void => {
    const first = this.waiting.shift();
    this.isTaken = first !== undefined;
    first?.();
  };
}

/** All nodes of a process share this object, because they share the event loop. */
export const answerTurns = new LoopTurns();
