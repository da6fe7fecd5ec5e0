import type { Page, ReadRequest, StreamEvent, Streams } from '../../../src/backplane/backplane.js';
import { LOG_START } from '../../../src/backplane/backplane.js';
import type {
  EndReason,
  FollowerNode,
  FollowerOptions,
  Sink,
} from '../../../src/stream/followers/follower.js';
import { Follower } from '../../../src/stream/followers/follower.js';
import { ManualClock } from './manual-clock.js';
import { partOf } from '../../support/part-of.js';

/** A log with one stream. Its entries stand ten apart, as if others' entries lay between. */
export class FakeLog {
  events: StreamEvent[] = [];
  open = true;
  /** Messages up to this number are no longer kept. */
  trimmed = 0;
  gone = false;
  reads = 0;
  /** So many reads fail from now on. */
  failures = 0;
  pageSize = Number.POSITIVE_INFINITY;
  private entries = 0;
  private held: (() => void)[] | undefined;

  append(extra: Partial<StreamEvent> = {}): StreamEvent {
    this.entries += 10;
    const last = this.events.at(-1)?.position;
    const position = { n: (last?.n ?? 0) + 1, logId: `${this.entries}-0` };
    const before = last === undefined ? {} : { before: last.logId };
    const event = { position, message: `message ${position.n}`, end: false, ...before, ...extra };
    this.events.push(event);
    if (event.end) this.open = false;
    return event;
  }

  /** Loses its end, as in a failover. */
  lose(count: number): void {
    this.events.splice(-count);
  }

  /** Reads wait until they are let go. */
  hold(): void {
    this.held ??= [];
  }

  letGo(): void {
    const held = this.held ?? [];
    this.held = undefined;
    for (const resolve of held) resolve();
  }

  async read({ after }: ReadRequest): Promise<Page> {
    this.reads += 1;
    // What is read is what there is when the read is carried out; its answer may be long under way.
    const page = this.pageAfter(after);
    const fails = this.failures > 0;
    if (fails) this.failures -= 1;
    if (this.held !== undefined) {
      const { held } = this;
      await new Promise<void>((resolve) => held.push(resolve));
    }
    if (fails) throw new Error('the backplane is away');
    return page;
  }

  private pageAfter(after: { n: number; logId: string }): Page {
    if (this.gone) return { status: 'gone' };
    const found = this.events.filter(
      ({ position }) => position.n > this.trimmed && place(position.logId) > place(after.logId),
    );
    const events = found.slice(0, this.pageSize);
    const more = events.length < found.length;
    const last = this.events.at(-1)?.position ?? { n: 0, logId: LOG_START };
    const first = events[0]?.position.n;
    if (first !== undefined && first > after.n + 1) return { status: 'trimmed' };
    const { open } = this;
    if (first !== undefined && first <= after.n) {
      const scanned = events.at(-1)?.position.logId ?? after.logId;
      return { status: 'ok', events, scanned, more, open, restart: first - 1 };
    }
    if (first === undefined && last.n > after.n) return { status: 'trimmed' };
    if (first === undefined && last.n < after.n) {
      return { status: 'ok', events, scanned: last.logId, more, open, restart: last.n };
    }
    const scanned = more ? (events.at(-1)?.position.logId ?? after.logId) : `${this.entries}-5`;
    return { status: 'ok', events, scanned, more, open };
  }
}

/** A client that takes as much as it is told to. */
export class FakeSink implements Sink {
  readonly resumable = true;
  shown: StreamEvent[] = [];
  reason: EndReason | undefined;
  /** So many more messages fit. */
  room = Number.POSITIVE_INFINITY;
  buffered = 0;
  /** The numbers of the messages that were shown together. */
  corked: number[][] = [];
  isCorked = false;
  private waiting: (() => void) | undefined;

  write(event: StreamEvent): boolean {
    if (this.reason !== undefined) throw new Error('written after the end');
    if (this.waiting !== undefined) throw new Error('written although there is no room');
    this.shown.push(event);
    if (this.isCorked) this.corked.at(-1)?.push(event.position.n);
    this.room -= 1;
    return this.room > 0;
  }

  cork(): void {
    this.isCorked = true;
    this.corked.push([]);
  }

  uncork(): void {
    this.isCorked = false;
  }

  whenRoom(callback: () => void): void {
    this.waiting = callback;
  }

  get isFull(): boolean {
    return this.waiting !== undefined;
  }

  makeRoom(room = Number.POSITIVE_INFINITY): void {
    this.room = room;
    const callback = this.waiting;
    this.waiting = undefined;
    callback?.();
  }

  end(reason: EndReason): void {
    if (this.reason !== undefined) throw new Error('ended twice');
    this.reason = reason;
  }

  get numbers(): number[] {
    return this.shown.map(({ position }) => position.n);
  }
}

export interface Followed {
  follower: Follower;
  log: FakeLog;
  sink: FakeSink;
  clock: ManualClock;
  /** Why it ended, each time that somebody was told. */
  ends: EndReason[];
}

export function follow(overrides: Partial<FollowerOptions & FollowerNode> = {}): Followed {
  const { isAlive = () => Promise.resolve(true), onMove = () => undefined, ...others } = overrides;
  const log = new FakeLog();
  const sink = new FakeSink();
  const clock = new ManualClock();
  const ends: EndReason[] = [];
  const follower = new Follower({
    sessionId: 'session',
    stream: 'g',
    token: 'token',
    position: { n: 0, logId: LOG_START },
    sink,
    node: { backplane: partOf<Streams>(log), isAlive, clock, onMove },
    onEnd: (_, reason) => ends.push(reason),
    ...others,
  });
  return { follower, log, sink, clock, ends };
}

function place(logId: string): number {
  return Number(logId.split('-')[0]);
}
