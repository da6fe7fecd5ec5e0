import { givenName } from './shown-on.js';

/** How many names are remembered: the last ones that this node has given. */
const REMEMBERED = 65_536;

/**
 * Gives names to the streams and connections of this node, and remembers which streams it opened and runs itself.
 *
 * Each name ends with a number, so that a byte for each number is enough. A set of the names would hold tens of thousands
 * of texts, and their garbage collection would be a tenth of the cost of a call.
 */
export class OpenedStreams {
  private given = 0;
  private readonly runs = new Uint8Array(REMEMBERED);

  constructor(private readonly nodeId: string) {}

  /** Returns a name for a stream, or a token for a connection. No node gives it again. */
  nextName(): string {
    this.given += 1;
    this.runs[this.given % REMEMBERED] = 0;
    return `${this.nodeId}${this.given.toString(36)}`;
  }

  /** Whether this node opened the stream and runs its requests. */
  isRunHere(stream: string): boolean {
    const number = this.numberOf(stream);
    return number !== undefined && this.runs[number % REMEMBERED] === 1;
  }

  setRunHere(stream: string, isRun: boolean): void {
    const number = this.numberOf(stream);
    if (number !== undefined) this.runs[number % REMEMBERED] = isRun ? 1 : 0;
  }

  /** Returns `undefined` if another node gave the name, or if this node gave it so long ago that it is forgotten. */
  private numberOf(stream: string): number | undefined {
    const name = givenName(stream);
    if (!name.startsWith(this.nodeId)) return undefined;
    const number = Number.parseInt(name.slice(this.nodeId.length), 36);
    // The name comes from Redis, and its number may be any number, or none.
    return number <= this.given && number > this.given - REMEMBERED ? number : undefined;
  }
}
