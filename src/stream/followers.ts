import type { Position, StreamEvent } from '../backplane/backplane.js';
import type { Clock } from '../protocol/clock.js';
import { jittered } from '../protocol/clock.js';
import { MapBySession } from '../protocol/map-by-session.js';
import type { EndReason, Follower } from './follower.js';

/** So many followers look at the log at once when all have to, and the next ones after this time. */
const POKED_AT_ONCE = 50;
const POKED_EVERY_MS = 50;

/** What becomes of a connection between its claim on a stream and its first byte. */
export interface Claim {
  /** Another connection has taken the stream meanwhile. */
  lost: boolean;
  /** Where it begins, as soon as that is known: its successor may ask before it has shown anything. */
  beginsAfter: (position: Position) => void;
  arrived: () => void;
}

interface Coming {
  claim: Claim;
  position: Promise<Position | undefined>;
}

/** The followers of this node: one per stream, since a stream has one holder. */
export class Followers {
  /** Connections on their way: they hold their stream in the backplane, and cannot show anything yet. */
  private readonly arriving = new Map<string, Coming>();
  private readonly followers = new MapBySession<string, Follower>();
  /** Where connections came to that have ended lately. */
  private readonly leaving = new Map<string, Position>();
  /** Those that are still to be poked. */
  private readonly toPoke = new Set<Follower>();
  private count = 0;

  /** `onAdd` is called after each new follower. */
  constructor(private readonly onAdd: () => void = () => undefined) {}

  get size(): number {
    return this.count;
  }

  /** A connection of this node that held the stream before is ended: its successor is here. */
  add(follower: Follower): void {
    const { sessionId, stream } = follower;
    const previous = this.find(sessionId, stream);
    this.followers.set(sessionId, stream, follower);
    if (previous === undefined) this.count += 1;
    else previous.end('replaced');
    this.onAdd();
  }

  /** Before a connection is made the holder of a stream. `arrived` has to be called in the end, whatever becomes of it. */
  expect(token: string): Claim {
    let settle: (position?: Position) => void = () => undefined;
    const position = new Promise<Position | undefined>((resolve) => (settle = resolve));
    const claim: Claim = {
      lost: false,
      beginsAfter: settle,
      arrived: () => {
        this.arriving.delete(token);
        settle();
      },
    };
    this.arriving.set(token, { claim, position });
    return claim;
  }

  /** Ends the connection that has lost its stream, and says how far it came; one that is on its way learns of it. */
  async release(sessionId: string, stream: string, token: string): Promise<Position | undefined> {
    const coming = this.arriving.get(token);
    if (coming !== undefined) {
      coming.claim.lost = true;
      return coming.position;
    }
    const follower = this.find(sessionId, stream, token);
    const position = follower?.position ?? this.leaving.get(token);
    follower?.end('replaced');
    return position;
  }

  /** Whether this node has this connection, or is about to have it. */
  has(sessionId: string, stream: string, token: string): boolean {
    return this.arriving.has(token) || this.find(sessionId, stream, token) !== undefined;
  }

  /** Its connection has ended; a successor may ask where it came to until the returned function is called. */
  leave({ token, position }: Follower): () => void {
    this.leaving.set(token, position);
    return () => this.leaving.delete(token);
  }

  remove(follower: Follower): void {
    const { sessionId, stream } = follower;
    if (this.find(sessionId, stream) !== follower) return;
    this.followers.delete(sessionId, stream);
    this.count -= 1;
  }

  /** With a `token`: only if that connection is still the one. */
  find(sessionId: string, stream: string, token?: string): Follower | undefined {
    const follower = this.followers.get(sessionId, stream);
    return token === undefined || follower?.token === token ? follower : undefined;
  }

  offer(
    sessionId: string,
    stream: string,
    token: string,
    event: StreamEvent,
    inline: boolean,
  ): void {
    this.find(sessionId, stream, token)?.offer(event, inline);
  }

  endSession(sessionId: string, reason: EndReason): void {
    for (const follower of this.ofSession(sessionId)) follower.end(reason);
  }

  ofSession(sessionId: string): Follower[] {
    return this.followers.ofSession(sessionId);
  }

  /**
   * Makes all followers look at the log, some at a time: after an outage each node may have thousands, and all nodes
   * come back together.
   */
  pokeAll(clock: Clock, onPoked: (follower: Follower) => void = () => undefined): void {
    const isUnderWay = this.toPoke.size > 0;
    for (const follower of this.all()) this.toPoke.add(follower);
    if (!isUnderWay) this.pokeSome(clock, onPoked);
  }

  private pokeSome(clock: Clock, onPoked: (follower: Follower) => void): void {
    for (const follower of [...this.toPoke].slice(0, POKED_AT_ONCE)) {
      this.toPoke.delete(follower);
      follower.poke();
      onPoked(follower);
    }
    if (this.toPoke.size > 0) {
      clock.after(jittered(POKED_EVERY_MS, clock), () => this.pokeSome(clock, onPoked));
    }
  }

  all(): Follower[] {
    return this.followers.all();
  }

  sessions(): string[] {
    return this.followers.sessionIds();
  }
}
