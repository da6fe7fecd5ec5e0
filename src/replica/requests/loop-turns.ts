import { setImmediate } from 'node:timers';

/** Characters of an answer after which the next one waits. It takes about two milliseconds to write so many as JSON. */
const LARGE = 256 * 1024;

/**
 * Has large answers written as JSON in turns of the event loop of their own. The handlers of a batch may all answer in the
 * same turn: their answers must not keep the loop from everything else, the renewal of this node's lease for instance.
 */
export class LoopTurns {
  private readonly waiting: (() => void)[] = [];
  private isTaken = false;

  /** Resolves when it is the caller's turn, who is to call `write` then. `undefined`: now. */
  next(): Promise<void> | undefined {
    if (!this.isTaken) return undefined;
    return new Promise((resolve) => this.waiting.push(resolve));
  }

  /** Has an answer written. After a large one the next one waits for the next turn of the event loop. */
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

  /** Resolves when what waits now has been written. */
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

/** There is one event loop for all nodes of a process. */
export const answerTurns = new LoopTurns();
