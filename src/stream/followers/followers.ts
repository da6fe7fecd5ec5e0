import type { Position, StreamEvent } from '../../backplane/backplane.js';
import type { Clock } from '../../protocol/timing/clock.js';
import { jittered } from '../../protocol/timing/clock.js';
import { MapBySession } from '../../protocol/map-by-session.js';
import type { DeliveryPath, EndReason, Follower } from './follower.js';

/** If all followers have to read the log, this many begin at once. After `POKED_EVERY_MS` the next ones begin. */
const POKED_AT_ONCE = 50;
const POKED_EVERY_MS = 50;

/** A connection that is being made the holder of a stream, and has no follower yet. */
export interface ArrivingConnection {
  /** True if another connection has taken the stream meanwhile. */
  lost: boolean;
  /** Sets the position after which the connection begins. A successor may need it before a message was shown. */
  beginsAfter: (position: Position) => void;
  /** Must be called when the connection has got its follower, or has failed. */
  arrived: () => void;
}

interface Arrival {
  connection: ArrivingConnection;
  position: Promise<Position | undefined>;
}

/** The followers of this node. A stream has one at most, because it has one holder. */
export class Followers {
  /** Connections by token that may hold their stream in the backplane already, but have no follower yet. */
  private readonly arriving = new Map<string, Arrival>();
  private readonly followers = new MapBySession<string, Follower>();
  /** The last positions, by token, of connections that have just ended. */
  private readonly leaving = new Map<string, Position>();
  /** The followers that still have to be poked. */
  private readonly toPoke = new Set<Follower>();
  private count = 0;

  /** `onAdd` is called after each new follower. */
  constructor(private readonly onAdd: () => void = () => undefined) {}

  get size(): number {
    return this.count;
  }

  /** How many bytes wait for clients that read slowly. */
  get bufferedBytes(): number {
    return this.all().reduce((sum, { buffered }) => sum + buffered, 0);
  }

  /** Adds a follower, and ends the one that the stream had on this node before. */
  add(follower: Follower): void {
    const { sessionId, stream } = follower;
    const previous = this.find(sessionId, stream);
    this.followers.set(sessionId, stream, follower);
    if (previous === undefined) this.count += 1;
    else previous.end('replaced');
    this.onAdd();
  }

  /** Notes a connection before it becomes the holder of a stream. The caller has to call `arrived` in the end. */
  expect(token: string): ArrivingConnection {
    let settle: (position?: Position) => void = () => undefined;
    const position = new Promise<Position | undefined>((resolve) => (settle = resolve));
    const connection: ArrivingConnection = {
      lost: false,
      beginsAfter: settle,
      arrived: () => {
        this.arriving.delete(token);
        settle();
      },
    };
    this.arriving.set(token, { connection, position });
    return connection;
  }

  /**
   * Ends a connection that has lost its stream, and resolves with its last position. If the connection has no follower yet,
   * its claim is marked as lost, and the promise resolves with the position after which it would have begun.
   */
  async release(sessionId: string, stream: string, token: string): Promise<Position | undefined> {
    const arrival = this.arriving.get(token);
    if (arrival !== undefined) {
      arrival.connection.lost = true;
      return arrival.position;
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

  /** Keeps the last position of an ended connection for a successor, until the returned function is called. */
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

  /** Returns the follower of a stream. With `token`, it is returned only if it is the follower of that connection. */
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
    path?: DeliveryPath,
  ): void {
    this.find(sessionId, stream, token)?.offer(event, inline, path);
  }

  endSession(sessionId: string, reason: EndReason): void {
    for (const follower of this.ofSession(sessionId)) follower.end(reason);
  }

  ofSession(sessionId: string): Follower[] {
    return this.followers.ofSession(sessionId);
  }

  /**
   * Makes all followers read the log, some at a time. After an outage each node may have thousands of followers, and all
   * nodes come back at the same time.
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
