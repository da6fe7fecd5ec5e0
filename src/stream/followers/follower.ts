import type { Page, Position, StreamEvent, Streams } from '../../backplane/backplane.js';
import { compareLogIds } from '../../backplane/backplane.js';
import type { Pauses } from '../../protocol/timing/backoff.js';
import { backOff } from '../../protocol/timing/backoff.js';
import type { Clock } from '../../protocol/timing/clock.js';

/**
 * Why a follower ends its connection. Only `complete` means that the client was sent all messages of the stream. With
 * `unknown`, the backplane has no such stream, and the log has no end of it: a failover has lost the stream.
 */
export type EndReason =
  'complete' | 'unknown' | 'gone' | 'overtaken' | 'unreadable' | 'replaced' | 'hangup' | 'closed';

/** The client's side of a follower: an SSE connection, or the collector of a JSON response. */
export interface Sink {
  /** Shows an event. Returns `false` if the buffer is full: the next event has to wait until `whenRoom` calls back. */
  write(event: StreamEvent): boolean;
  /** Called before and after several events are written at once, so that the sink can send them together. */
  cork?(): void;
  uncork?(): void;
  /** Called when a failover has lost the end of the log, so that its numbers are given out again. May end the follower. */
  restarted?(): void;
  /** Calls back once, as soon as there is room again. */
  whenRoom(callback: () => void): void;
  /** How many bytes wait for the client. Left out: none. */
  readonly buffered?: number;
  /** Whether the client can come back to this stream after its connection was ended. */
  readonly resumable: boolean;
  end(reason: EndReason): void;
}

/** How a message came to its follower: from this node, in a message of another node, or from the log. */
export type DeliveryPath = 'local' | 'wake' | 'catch_up';

/** The parts of a node that all its followers use. */
export interface FollowerNode {
  backplane: Streams;
  /** Whether a node is not dead. */
  isAlive: (nodeId: string) => Promise<boolean>;
  clock: Clock;
  /** Called after each message that was shown. */
  onMove: (follower: Follower) => void;
  /** Called with each message that was shown, and how it came. */
  onShown?: ((event: StreamEvent, path: DeliveryPath) => void) | undefined;
  /** Called when a message arrived and the one before it had not. */
  onMissed?: (() => void) | undefined;
}

export interface FollowerOptions {
  sessionId: string;
  stream: string;
  /** Names the connection among those of this node. */
  token: string;
  position: Position;
  sink: Sink;
  node: FollowerNode;
  /** Called once, when the follower has ended for whatever reason. */
  onEnd: (follower: Follower, reason: EndReason) => void;
}

/** A page of the log that was asked for. */
interface AskedPage {
  after: Position;
  page: Promise<Page>;
}

const ENDS = {
  gone: 'gone',
  lost: 'replaced',
  trimmed: 'overtaken',
  unreadable: 'unreadable',
} as const;

/**
 * The size of a page of the log. While a follower reads, it also keeps newer messages up to this size, and one beyond of
 * any size.
 */
const PAGE_BYTES = 256 * 1024;
const MOST_KEPT = 128;
/** These pauses are longer than others, because after an outage the connections of all nodes read at the same time. */
const PAUSES: Pauses = { firstMs: 200, longestMs: 2000 };

/**
 * Moves along a stream in the log, and shows each message once, in order and without a gap. It has these states:
 *
 * - `live`: it shows the next message at once. Any other message makes it read the log;
 * - `reading`: it reads the log. It keeps messages that arrive meanwhile, within bounds, and merges them by number;
 * - `waiting`: the client takes no more. It keeps nothing, and reads the log when there is room;
 * - `ended`.
 */
export class Follower {
  readonly sessionId: string;
  readonly stream: string;
  readonly token: string;
  private state: 'live' | 'reading' | 'waiting' | 'ended' = 'live';
  private written: Position;
  /** Up to where the log was read. It is ahead of `written` if entries of other streams lie between. */
  private scanned: string;
  /** Messages that arrived while the log was read. The map is made when the first one arrives, which is seldom. */
  private kept: Map<number, StreamEvent> | undefined;
  /** Length of the texts in `kept`, or more. */
  private keptBytes = 0;
  /** True if the log has messages that were neither read nor kept, so that another page has to be read. */
  private behind = false;

  constructor(private readonly options: FollowerOptions) {
    this.sessionId = options.sessionId;
    this.stream = options.stream;
    this.token = options.token;
    this.written = options.position;
    this.scanned = options.position.logId;
  }

  /** The last message that was handed to the connection. All messages before it were handed over, too. */
  get position(): Position {
    return this.written;
  }

  /** Whether the client can come back, so that the node may end the connection on purpose. */
  get resumable(): boolean {
    return this.options.sink.resumable;
  }

  /** How many bytes wait for the client. */
  get buffered(): number {
    return this.options.sink.buffered ?? 0;
  }

  get ended(): boolean {
    return this.state === 'ended';
  }

  /** Takes a message that was just stored. If it is not `inline`, its text is missing, and is read from the log. */
  offer(event: StreamEvent, inline: boolean, path: DeliveryPath = 'wake'): void {
    if (this.state === 'ended') return;
    if (event.position.n <= this.written.n) {
      // The message was shown before. Or a failover has lost the end of the log, and the number was given out again.
      if (compareLogIds(event.position.logId, this.written.logId) > 0) this.poke();
      return;
    }
    if (this.state !== 'live') {
      const room = (this.kept?.size ?? 0) < MOST_KEPT && this.keptBytes < PAGE_BYTES;
      if (inline && this.state === 'reading' && room) {
        this.kept ??= new Map();
        this.kept.set(event.position.n, event);
        this.keptBytes += event.message?.length ?? 0;
      } else {
        this.behind = true;
      }
      return;
    }
    const isNext = this.isNext(event);
    if (!isNext) this.options.node.onMissed?.();
    if (inline && isNext) this.show(event, path);
    else this.poke();
  }

  /**
   * Whether the event comes right after the one that was shown last. The number alone does not tell: a failover may have lost
   * the message that was shown, and another message, which was not shown, has got its number since.
   */
  private isNext({ position, before }: StreamEvent): boolean {
    const { n, logId } = this.written;
    return position.n === n + 1 && (before === undefined || before === logId);
  }

  /** Makes the follower read the log, because it may have missed a message. */
  poke(): void {
    if (this.state === 'live') void this.catchUp();
    else this.behind = true;
  }

  /** Ends the follower and its connection. */
  end(reason: EndReason): void {
    if (this.state === 'ended') return;
    this.state = 'ended';
    this.forgetKept();
    this.options.sink.end(reason);
    this.options.onEnd(this, reason);
  }

  /** Reads the log until there is no more, or the client takes no more. */
  private async catchUp(): Promise<void> {
    this.state = 'reading';
    let next: AskedPage | undefined;
    for (let failures = 0; ;) {
      let page: Page;
      let skip: Set<StreamEvent>;
      try {
        const asked = this.isAt(next?.after) ? next : undefined;
        page = await (asked ?? this.ask(this.written.n, this.scanned)).page;
        next = this.ended ? undefined : this.askAhead(page);
        skip = await this.unanswerable(page);
        failures = 0;
      } catch {
        // The backplane cannot be reached. The connection stays, and the follower tries again.
        next = undefined;
        await backOff(failures, PAUSES, this.options.node.clock);
        failures += 1;
        if (this.ended) return;
        continue;
      }
      // The follower has ended while it read, so it does not show the page. A successor may show it.
      if (this.ended) return;
      if (page.status !== 'ok') {
        this.end(ENDS[page.status]);
        return;
      }
      // Messages that were shown during the read may be in the page again.
      const news = page.events.filter(
        ({ position }) => compareLogIds(position.logId, this.scanned) > 0,
      );
      const isRestart = page.restart !== undefined && news.length === page.events.length;
      if (isRestart) {
        this.written = { ...this.written, n: page.restart ?? 0 };
        this.options.sink.restarted?.();
        if ((this.state as string) === 'ended') return;
      }
      if (!this.showTogether(page.scanned, news, skip)) return;
      // Showing messages may have changed `state` to `ended` or `waiting`.
      if ((this.state as string) !== 'reading') return;
      if (page.more || this.isBehind()) continue;
      if (!page.open) {
        this.end('unknown'); // no message will come
        return;
      }
      this.state = 'live';
      return;
    }
  }

  /** Asks for the page after a position. What was missed before is in that page, or in one that follows it. */
  private ask(n: number, logId: string): AskedPage {
    this.behind = false;
    const { sessionId, stream, token } = this;
    const after = { n, logId };
    const { backplane } = this.options.node;
    const page = backplane.read({ sessionId, stream, after, maxBytes: PAGE_BYTES, token });
    return { after, page };
  }

  /**
   * Asks for the page after this one while this one is being shown, so that the backplane and the node work at the same
   * time. This happens only if the client has taken everything so far. So a client that reads slowly makes the node keep
   * nothing. The page is used if the follower gets to its beginning.
   */
  private askAhead(page: Page): AskedPage | undefined {
    if (page.status !== 'ok' || !page.more || page.restart !== undefined || this.buffered > 0) {
      return undefined;
    }
    const asked = this.ask(page.events.at(-1)?.position.n ?? this.written.n, page.scanned);
    asked.page.catch(() => undefined); // handled when the page is used
    return asked;
  }

  private isAt(position: Position | undefined): boolean {
    return position?.n === this.written.n && position.logId === this.scanned;
  }

  private isBehind(): boolean {
    return this.behind || this.kept !== undefined;
  }

  /**
   * Shows the messages of a page, and those that were kept. The client gets them in few large writes. Returns `false` if the
   * follower has ended or waits for room before the end of the page.
   */
  private showTogether(scanned: string, events: StreamEvent[], skip: Set<StreamEvent>): boolean {
    const { sink } = this.options;
    sink.cork?.();
    try {
      if (!this.showPage(events, skip)) return false;
      this.scanned = scanned;
      this.showKept();
      return true;
    } finally {
      sink.uncork?.();
    }
  }

  /** Shows the messages of a page. Returns `false` if the follower has ended or waits for room. */
  private showPage(events: StreamEvent[], skip: Set<StreamEvent>): boolean {
    for (const event of events) {
      if (event.position.n <= this.written.n) continue;
      if (skip.has(event)) this.written = event.position;
      else this.show(event);
      this.scanned = event.position.logId;
      if (this.state !== 'reading') return false;
    }
    return true;
  }

  private showKept(): void {
    for (;;) {
      const next = this.kept?.get(this.written.n + 1);
      if (next === undefined || this.state !== 'reading') break;
      if (this.isNext(next)) {
        this.show(next);
        continue;
      }
      this.behind = true;
      break;
    }
    // Of the messages that are left, the older ones were in the page. Before the newer ones is a gap, which the next page
    // fills.
    for (const n of this.kept?.keys() ?? []) if (n > this.written.n) this.behind = true;
    this.forgetKept();
  }

  private forgetKept(): void {
    this.kept = undefined;
    this.keptBytes = 0;
  }

  private show(event: StreamEvent, path: DeliveryPath = 'catch_up'): void {
    this.written = event.position;
    this.scanned = event.position.logId;
    const room = this.options.sink.write(event);
    this.options.node.onMove(this);
    this.options.node.onShown?.(event, path);
    if (event.end) {
      this.end('complete');
    } else if (!room) {
      this.state = 'waiting';
      this.forgetKept();
      this.options.sink.whenRoom(() => {
        if (this.state === 'waiting') void this.catchUp();
      });
    }
  }

  /** Returns the requests to the client that a dead node sent. They are not shown, because no node waits for the answer. */
  private async unanswerable(page: Page): Promise<Set<StreamEvent>> {
    const skip = new Set<StreamEvent>();
    if (page.status !== 'ok') return skip;
    for (const event of page.events) {
      const { asker, message } = event;
      if (asker === undefined || message === undefined) continue;
      if (!(await this.options.node.isAlive(asker))) skip.add(event);
    }
    return skip;
  }
}
