import type { Page, Position, StreamEvent, Streams } from '../backplane/backplane.js';
import { compareLogIds } from '../backplane/backplane.js';
import type { Pauses } from '../protocol/backoff.js';
import { backOff } from '../protocol/backoff.js';
import type { Clock } from '../protocol/clock.js';

/** Why a follower ends its connection. Only `complete` means that the client has had everything. */
export type EndReason =
  'complete' | 'gone' | 'overtaken' | 'unreadable' | 'replaced' | 'hangup' | 'closed';

/** The client's side of a follower: an SSE connection, or the collector of a JSON response. */
export interface Sink {
  /** Shows an event. `false`: enough is buffered, show no more until `whenRoom` calls back. */
  write(event: StreamEvent): boolean;
  /** The log has lost its end (a failover), and counts anew. May end the follower. */
  restarted?(): void;
  /** Calls back once, as soon as there is room again. */
  whenRoom(callback: () => void): void;
  /** Whether the client can come back to this stream after its connection was ended. */
  readonly resumable: boolean;
  end(reason: EndReason): void;
}

/** What the followers of a node have in common. */
export interface FollowerNode {
  membership: Streams;
  /** Whether a node still holds its lease. */
  isAlive: (nodeId: string) => Promise<boolean>;
  clock: Clock;
  /** Something was shown. */
  onMove: (follower: Follower) => void;
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

const ENDS = {
  gone: 'gone',
  lost: 'replaced',
  trimmed: 'overtaken',
  unreadable: 'unreadable',
} as const;

/** A page of the log; also what may wait in memory per follower while it reads, beside one message of any size. */
const PAGE_BYTES = 256 * 1024;
const MOST_KEPT = 128;
/** Longer than elsewhere: after an outage all connections of all nodes read. */
const PAUSES: Pauses = { firstMs: 200, longestMs: 2000 };

/**
 * Moves along one stream's log and shows each message once, in order, without a gap.
 *
 * - `live`: what arrives next in sequence is shown at once; anything else makes it read the log;
 * - `reading`: the log is being read; what arrives meanwhile is kept, within bounds, and merged by number;
 * - `waiting`: the client does not take more; nothing is kept, the log is read when there is room;
 * - `ended`.
 */
export class Follower {
  readonly sessionId: string;
  readonly stream: string;
  readonly token: string;
  private state: 'live' | 'reading' | 'waiting' | 'ended' = 'live';
  private written: Position;
  /** How far the log was looked through; ahead of `written` where others' entries lie between. */
  private scanned: string;
  /** Made when there is something to keep, which there seldom is. */
  private kept: Map<number, StreamEvent> | undefined;
  /** Of the texts in `kept`; not less than they have. */
  private keptBytes = 0;
  /** There is more than what is kept. */
  private behind = false;

  constructor(private readonly options: FollowerOptions) {
    this.sessionId = options.sessionId;
    this.stream = options.stream;
    this.token = options.token;
    this.written = options.position;
    this.scanned = options.position.logId;
  }

  /** Up to where everything has been handed to the connection. */
  get position(): Position {
    return this.written;
  }

  /** Whether its connection may be ended on purpose: the client can come back. */
  get resumable(): boolean {
    return this.options.sink.resumable;
  }

  get ended(): boolean {
    return this.state === 'ended';
  }

  /** A message that was just stored. Its text may be missing: then it is read from the log. */
  offer(event: StreamEvent, inline: boolean): void {
    if (this.state === 'ended') return;
    if (event.position.n <= this.written.n) {
      // Shown before; or the log has lost its end (a failover), and counts anew from there.
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
    if (inline && event.position.n === this.written.n + 1) this.show(event);
    else this.poke();
  }

  /** Something may have been missed: look at the log. */
  poke(): void {
    if (this.state === 'live') void this.catchUp();
    else this.behind = true;
  }

  /** Ends the connection, too. */
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
    for (let failures = 0; ;) {
      this.behind = false;
      let page: Page;
      let skip: Set<StreamEvent>;
      try {
        page = await this.options.node.membership.read({
          sessionId: this.sessionId,
          stream: this.stream,
          after: { n: this.written.n, logId: this.scanned },
          maxBytes: PAGE_BYTES,
          token: this.token,
        });
        skip = await this.unanswerable(page);
        failures = 0;
      } catch {
        // The backplane is away. The connection stays, and goes on when it is back.
        await backOff(failures, PAUSES, this.options.node.clock);
        failures += 1;
        if (this.ended) return;
        continue;
      }
      // Ended while we read: closed by the client, taken over, deleted. What was read is somebody else's to show.
      if (this.ended) return;
      if (page.status !== 'ok') {
        this.end(ENDS[page.status]);
        return;
      }
      // Read while more of it came in, a page may begin with what was shown since.
      const news = page.events.filter(
        ({ position }) => compareLogIds(position.logId, this.scanned) > 0,
      );
      const isRestart = page.restart !== undefined && news.length === page.events.length;
      if (isRestart) {
        this.written = { ...this.written, n: page.restart ?? 0 };
        this.options.sink.restarted?.();
        if ((this.state as string) === 'ended') return;
      }
      if (!this.showPage(news, skip)) return;
      this.scanned = page.scanned;
      this.showKept();
      // Ended or waiting since, by what was shown; `state` may have changed under us.
      if ((this.state as string) !== 'reading') return;
      if (page.more || this.isBehind()) continue;
      if (!page.open) {
        // No more will come, and no end was recorded: the stream was given up.
        this.end('complete');
        return;
      }
      this.state = 'live';
      return;
    }
  }

  private isBehind(): boolean {
    return this.behind || this.kept !== undefined;
  }

  /** `false`: no further. */
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
      this.show(next);
    }
    // Older ones were in the page. Newer ones with a gap before them: the next page brings both.
    for (const n of this.kept?.keys() ?? []) if (n > this.written.n) this.behind = true;
    this.forgetKept();
  }

  private forgetKept(): void {
    this.kept = undefined;
    this.keptBytes = 0;
  }

  private show(event: StreamEvent): void {
    this.written = event.position;
    this.scanned = event.position.logId;
    const room = this.options.sink.write(event);
    this.options.node.onMove(this);
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

  /** Requests of nodes that are gone: nobody would hear the answer. */
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
