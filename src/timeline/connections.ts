/**
 * Follows which node holds the client's connections. The log does not say when a connection is made or cut. It says who opened a
 * stream, who showed each message, and who resumed the stream. So a stretch begins and ends at the events that prove it.
 */
import type { EventSummary } from './event-summary.js';
import type { Mark, Stretch } from './picture.js';

interface Open {
  stretch: Stretch | undefined;
  /** The last time at which the connection was there for certain. */
  seen: number;
  /** How many messages wait for the client. */
  waiting: number;
}

export class Connections {
  private readonly stretches: Stretch[] = [];
  private readonly marks: Mark[] = [];
  private readonly open = new Map<string, Open>();

  opened(stream: string, node: string | undefined, at: number, key: string): void {
    const open = this.open.get(stream);
    if (open === undefined) this.hold(stream, node, at);
    else if (node !== undefined && open.stretch?.node !== node) this.move(stream, node, at, key);
  }

  /** A message was sent on the stream. */
  sent(stream: string, { shownBy, at, id }: EventSummary): void {
    const open = this.open.get(stream);
    if (shownBy === undefined) return;
    if (shownBy === null) {
      if (open === undefined) {
        this.open.set(stream, { stretch: undefined, seen: at, waiting: 1 });
        return;
      }
      if (open.stretch !== undefined) this.cut(stream, open, at, id);
      open.waiting += 1;
      return;
    }
    if (open === undefined) {
      this.hold(stream, shownBy, at);
      return;
    }
    if (open.stretch?.node !== shownBy) {
      this.move(stream, shownBy, at, id);
      return;
    }
    open.seen = at;
  }

  resumed(stream: string, { id: key, at, nodeId, skipped }: EventSummary): void {
    const open = this.open.get(stream);
    const from = open?.stretch?.node;
    if (open?.stretch !== undefined) this.cut(stream, open, at, key);
    const waited = open?.waiting ?? 0;
    this.hold(stream, nodeId, at);
    this.marks.push({
      ...{ key, at, kind: 'resumed', stream },
      ...(nodeId !== undefined && { node: nodeId }),
      ...(from !== undefined && { from }),
      ...(skipped !== undefined && { skipped }),
      ...(waited > 0 && { waited }),
    });
  }

  closed(stream: string, at: number): void {
    const open = this.open.get(stream);
    if (open?.stretch !== undefined) open.stretch.to = at;
    this.open.delete(stream);
  }

  allClosed(at: number): void {
    for (const stream of this.open.keys()) this.closed(stream, at);
  }

  /** Returns the stretches and marks. A connection of a dead node is gone, though the log does not say when. */
  end(dead: ReadonlySet<string>): { stretches: Stretch[]; marks: Mark[] } {
    for (const { stretch, seen } of this.open.values()) {
      if (stretch !== undefined && dead.has(stretch.node))
        stretch.to = Math.max(seen, stretch.from);
    }
    return { stretches: this.stretches, marks: this.marks };
  }

  private hold(stream: string, node: string | undefined, at: number): void {
    const stretch = node === undefined ? undefined : { stream, node, from: at };
    if (stretch !== undefined) this.stretches.push(stretch);
    this.open.set(stream, { stretch, seen: at, waiting: 0 });
  }

  /** Ends a stretch between the last time that it was there and `at`. */
  private cut(stream: string, open: Open, at: number, key: string): void {
    const { stretch } = open;
    if (stretch === undefined) return;
    stretch.to = Math.min(at, Math.max(open.seen, stretch.from));
    this.marks.push({ key, at: stretch.to, kind: 'cut', node: stretch.node, stream });
    open.stretch = undefined;
  }

  /** Another node shows the stream now, and the log does not say since when. */
  private move(stream: string, node: string, at: number, key: string): void {
    const open = this.open.get(stream);
    const from = open?.stretch?.node;
    if (open?.stretch !== undefined) open.stretch.to = Math.max(open.seen, open.stretch.from);
    const waited = open?.waiting ?? 0;
    this.hold(stream, node, at);
    this.marks.push({
      ...{ key, at, kind: 'moved', node, stream },
      ...(from !== undefined && { from }),
      ...(waited > 0 && { waited }),
    });
  }
}
