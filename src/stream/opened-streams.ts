import { givenName } from './shown-on.js';

/** So many names are remembered: those that this node has given last. */
const REMEMBERED = 65_536;

/**
 * Names what this node opens, and remembers which of its streams it runs itself.
 *
 * Each name ends with a number, and a bit of memory per number is enough. Remembering the names themselves would keep tens of
 * thousands of texts, each of which the garbage collector has to move: a tenth of what a call costs.
 */
export class OpenedStreams {
  private given = 0;
  private readonly runs = new Uint8Array(REMEMBERED);

  constructor(private readonly nodeId: string) {}

  /** A name that no node gives again: of a stream, or of what shows one. */
  nextName(): string {
    this.given += 1;
    this.runs[this.given % REMEMBERED] = 0;
    return `${this.nodeId}${this.given.toString(36)}`;
  }

  /** Whether this node has opened the stream, and runs its requests. */
  isRunHere(stream: string): boolean {
    const number = this.numberOf(stream);
    return number !== undefined && this.runs[number % REMEMBERED] === 1;
  }

  setRunHere(stream: string, isRun: boolean): void {
    const number = this.numberOf(stream);
    if (number !== undefined) this.runs[number % REMEMBERED] = isRun ? 1 : 0;
  }

  /** `undefined`: another node has given the name, or this one so long ago that it is forgotten. */
  private numberOf(stream: string): number | undefined {
    const name = givenName(stream);
    if (!name.startsWith(this.nodeId)) return undefined;
    const number = Number.parseInt(name.slice(this.nodeId.length), 36);
    // What comes from Redis may name anything.
    return number <= this.given && number > this.given - REMEMBERED ? number : undefined;
  }
}
