import type { Clock } from '../protocol/timing/clock.js';
import { SharedTimer } from '../protocol/timing/shared-timer.js';

/** How many GETs of one stream a node serves within a second. A client needs one, when its connection has ended. */
const MOST_PER_SECOND = 10;

interface Turns {
  /** How many GETs were served within the last second. */
  used: number;
  /** The GETs that wait, in the order of their arrival. */
  waiting: Set<() => void>;
}

/**
 * Bounds how often a node serves GETs of the same stream. GETs beyond that wait for their turn. Each GET takes the stream
 * over from the connection before it, which costs several steps and a message between nodes. So a client that opens its
 * stream again and again delays itself, and not the calls of others.
 *
 * Streams are counted by caller, so a caller cannot delay a GET of another caller's session.
 */
export class StreamTurns {
  private readonly streams = new Map<string, Turns>();
  private readonly seconds: SharedTimer;
  private closed = false;

  constructor(clock: Clock) {
    this.seconds = new SharedTimer(clock, 1000);
  }

  /**
   * Resolves when a GET of this stream may be served, or at once when its client goes. Never rejects. `onGone` is given a
   * function to call when the client goes.
   */
  async take(
    sessionId: string,
    stream: string,
    principal: string,
    onGone: (task: () => void) => void,
  ): Promise<void> {
    if (this.closed) return;
    const key = `${sessionId} ${stream} ${principal}`;
    const turns = this.streams.get(key) ?? { used: 0, waiting: new Set() };
    this.streams.set(key, turns);
    if (turns.used < MOST_PER_SECOND) {
      turns.used += 1;
      this.giveBackLater(key, turns);
      return;
    }
    await new Promise<void>((run) => {
      turns.waiting.add(run);
      onGone(() => {
        if (turns.waiting.delete(run)) run();
      });
    });
  }

  /** Lets all waiting GETs go on. From then on, no GET waits. */
  close(): void {
    this.closed = true;
    this.seconds.close();
    for (const { waiting } of this.streams.values()) for (const run of waiting) run();
    this.streams.clear();
  }

  /** Gives a turn to the next waiting GET after a second. If no GET waits, frees the turn. */
  private giveBackLater(key: string, turns: Turns): void {
    this.seconds.after(() => {
      if (this.closed) return;
      const [next] = turns.waiting;
      if (next !== undefined) {
        turns.waiting.delete(next);
        next();
        this.giveBackLater(key, turns);
        return;
      }
      turns.used -= 1;
      if (turns.used === 0) this.streams.delete(key);
    });
  }
}
