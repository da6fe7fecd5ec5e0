/** Characters of an answer after which the next one waits. It takes about two milliseconds to write so many as JSON. */
const LARGE = 256 * 1024;

/**
 * Has large answers written as JSON in turns of the event loop of their own. The handlers of a batch may all answer in the
 * same turn: their answers must not keep the loop from everything else, the renewal of this node's lease for instance.
 */
export class LoopTurns {
  private readonly waiting: (() => void)[] = [];
  private isTaken = false;

  /** Resolves when it is the caller's turn. `undefined`: now. */
  next(): Promise<void> | undefined {
    if (!this.isTaken) return undefined;
    return new Promise((resolve) => this.waiting.push(resolve));
  }

  /** An answer of this length was written. */
  wrote(length: number): void {
    if (length < LARGE || this.isTaken) return;
    this.isTaken = true;
    setImmediate(this.goOn);
  }

  private readonly goOn = (): void => {
    const first = this.waiting.shift();
    this.isTaken = first !== undefined;
    if (first === undefined) return;
    setImmediate(this.goOn);
    first();
  };
}
