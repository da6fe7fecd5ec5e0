import type { Response } from 'express';
import type { Position, StreamEvent } from '../backplane/backplane.js';
import type { Clock } from '../protocol/clock.js';
import { jittered } from '../protocol/clock.js';
import type { Cursors } from '../stream/cursor.js';
import type { EndReason, Sink } from '../stream/follower.js';

export interface SseOptions {
  sessionId: string;
  stream: string;
  cursors: Cursors;
  /** A GET: its client comes back even without a cursor. */
  isGet: boolean;
  keepAliveMs: number;
  /** Told to a client that is to come back; also in the priming event. */
  retryMs: number;
  maxStreamAgeMs: number;
  maxBufferedBytes: number;
  clock: Clock;
  /** The connection is closed, by whichever side. Called once. */
  onClose: () => void;
  /** The connection has become old: end it, if the client can come back. */
  onOld: () => void;
}

const HEADERS = {
  'Content-Type': 'text/event-stream',
  'Cache-Control': 'no-cache, no-transform',
  Connection: 'keep-alive',
  'X-Accel-Buffering': 'no',
};

/** How long an ended connection may take to hand over what is buffered. */
const LINGER_MS = 10_000;

/** One SSE response. */
export class SseConnection implements Sink {
  /** The client has an event id, and can resume with it. */
  private hasCursor = false;
  private closed = false;
  private cancelKeepAlive: () => void = () => undefined;
  private cancelAge: () => void = () => undefined;

  constructor(
    private readonly res: Response,
    private readonly options: SseOptions,
  ) {
    res.on('close', () => this.onClosed());
  }

  /**
   * Sends the headers and a first byte at once, since proxies hold the headers back until there is one. With `primed`
   * also an event without data, whose id lets the client resume before any message has come.
   */
  open(primed: Position | undefined): void {
    const { sessionId, stream, cursors, retryMs } = this.options;
    this.res.writeHead(200, { ...HEADERS, 'mcp-session-id': sessionId });
    let first = ': stream\n\n';
    if (primed !== undefined) {
      first += `id: ${cursors.format(stream, primed)}\nretry: ${retryMs}\ndata: \n\n`;
      this.hasCursor = true;
    }
    this.res.write(first);
    this.scheduleKeepAlive();
    const { clock, maxStreamAgeMs } = this.options;
    if (maxStreamAgeMs === 0) return;
    this.cancelAge = clock.after(jittered(maxStreamAgeMs, clock), () => this.options.onOld());
  }

  get resumable(): boolean {
    return this.options.isGet || this.hasCursor;
  }

  write({ position, message }: StreamEvent): boolean {
    if (this.closed) return true;
    if (message !== undefined) {
      const id = this.options.cursors.format(this.options.stream, position);
      this.res.write(`event: message\nid: ${id}\ndata: ${message}\n\n`);
      this.hasCursor = true;
    }
    // With less than the socket's own buffer takes there would never be a `drain` to wait for.
    const full = this.res.writableLength > this.options.maxBufferedBytes;
    return !(full && this.res.writableNeedDrain);
  }

  whenRoom(callback: () => void): void {
    this.res.once('drain', callback);
  }

  end(reason: EndReason): void {
    if (this.closed) return;
    const { clock, retryMs } = this.options;
    if (reason === 'hangup') this.res.write(`retry: ${Math.round(jittered(retryMs, clock))}\n\n`);
    this.res.end();
    this.stopTimers();
    // A client that does not read does not see the end either, and would keep the socket.
    this.cancelAge = clock.after(LINGER_MS, () => this.res.destroy());
  }

  private scheduleKeepAlive(): void {
    const { clock, keepAliveMs } = this.options;
    if (keepAliveMs === 0) return;
    this.cancelKeepAlive = clock.after(keepAliveMs, () => {
      if (this.closed) return;
      // A client that does not read gets no more to read.
      if (!this.res.writableNeedDrain) this.res.write(': keepalive\n\n');
      this.scheduleKeepAlive();
    });
  }

  private onClosed(): void {
    if (this.closed) return;
    this.closed = true;
    this.stopTimers();
    this.options.onClose();
  }

  private stopTimers(): void {
    this.cancelKeepAlive();
    this.cancelAge();
  }
}
