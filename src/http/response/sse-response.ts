import type { Response } from 'express';
import type { Position, StreamEvent } from '../../backplane/backplane.js';
import type { Clock } from '../../protocol/clock.js';
import { jittered } from '../../protocol/clock.js';
import type { SharedTimer } from '../../protocol/shared-timer.js';
import type { Cursors } from '../../stream/cursor.js';
import type { Logger } from '../../options/types.js';
import type { EndReason, Sink } from '../../stream/follower.js';
import { onOneLine } from '../../protocol/json-text.js';
import type { ResponseClosing } from './response-closing.js';
import { connectionOf, cut, needsDrain } from './response.js';
import { cutWhenStalled } from './stalled-client.js';

/** What all connections of a node have in common. */
export interface SseSettings {
  keepAliveMs: number;
  /** Told to a client whose connection is ended on purpose. */
  retryMs: number;
  maxStreamAgeMs: number;
  maxBufferedBytes: number;
  /** See {@link cutWhenStalled}. */
  stalledMs: number;
  clock: Clock;
  logger: Pick<Logger, 'error'>;
  /** For connections that may wait for their first message a moment; see {@link SseConnection.open}. */
  soon: SharedTimer;
  /** A connection has become old: it is ended, if its client can come back. */
  onOld: (sessionId: string, stream: string) => void;
}

/** Which stream of which session a connection shows. */
export interface SseStream {
  sessionId: string;
  name: string;
  cursors: Cursors;
  /** A GET: its client comes back even without a cursor. */
  isGet: boolean;
}

const nothing = (): void => undefined;

/**
 * The headers of each event stream. The last one tells nginx not to hold the stream back. What becomes of the connection
 * afterwards is Node's to say: it knows what the client and the application have asked for.
 */
export const SSE_HEADERS = {
  'Content-Type': 'text/event-stream',
  'Cache-Control': 'no-cache, no-transform',
  'X-Accel-Buffering': 'no',
};

/** How long an ended connection may take to hand over what is buffered. */
export const LINGER_MS = 10_000;

/** One SSE response. */
export class SseConnection implements Sink {
  /** The client has an event id, or will have one with the first bytes, and can resume with it. */
  private hasCursor = false;
  private begun = false;
  private closed = false;
  /** Written with what comes next. */
  private held = '';
  private cancelFlush = nothing;
  private cancelKeepAlive = nothing;
  private cancelAge = nothing;

  /** `onClose`: the connection is closed, by whichever side. Called once. */
  constructor(
    private readonly res: Response,
    closing: ResponseClosing,
    private readonly stream: SseStream,
    private readonly settings: SseSettings,
    private readonly onClose: () => void,
  ) {
    closing.add(() => this.onClosed());
  }

  /**
   * Sends the headers and a first byte, since proxies hold the headers back until there is one: a comment, without a blank
   * line after it, so that what comes next is the first event also to clients that split the text at blank lines. With
   * `primed` also an event without data, whose id lets the client resume before any message has come. There is no `retry`
   * in it, which some clients take for an error.
   *
   * At once for a GET. A POST is given a moment first: most calls are answered by then, and headers, priming and answer
   * go out as one write instead of three, which is what a response costs most of its time for.
   */
  open(primed: Position | undefined): void {
    const { name, cursors, isGet } = this.stream;
    const { soon } = this.settings;
    this.held = ': stream\n';
    if (primed !== undefined) {
      this.held += `id: ${cursors.format(name, primed)}\ndata: \n\n`;
      this.hasCursor = true;
    }
    if (isGet) this.send('');
    else this.cancelFlush = soon.after(() => this.send(''));
  }

  get resumable(): boolean {
    return this.stream.isGet || this.hasCursor;
  }

  write({ position, message, end }: StreamEvent): boolean {
    if (this.closed) return true;
    if (message !== undefined) {
      const id = this.stream.cursors.format(this.stream.name, position);
      const text = `event: message\nid: ${id}\ndata: ${onOneLine(message)}\n\n`;
      this.hasCursor = true;
      if (end) this.held += text;
      else this.send(text);
    }
    // Goes out with the end, which comes next.
    if (end) return true;
    // With less than the socket's own buffer takes there would never be a `drain` to wait for.
    const full = this.res.writableLength > this.settings.maxBufferedBytes;
    return !(full && needsDrain(this.res));
  }

  whenRoom(callback: () => void): void {
    this.res.once('drain', callback);
  }

  end(reason: EndReason): void {
    if (this.closed) return;
    const { clock, retryMs } = this.settings;
    if (reason === 'hangup') this.held += `retry: ${Math.round(jittered(retryMs, clock))}\n\n`;
    this.attempt(() => {
      if (!this.begin({ 'Content-Length': Buffer.byteLength(this.held) })) return;
      this.res.end(this.held);
      this.stopTimers();
      // Behind another response of the connection (pipelining): there is nothing to be read yet.
      if (connectionOf(this.res) === null) this.res.once('socket', () => this.linger());
      else this.linger();
    });
  }

  /**
   * Timers and messages of other nodes bring us here, where nobody catches what is thrown. What middleware in front, or an
   * adapter, has made of the response may throw: then this connection ends, and nothing else.
   */
  private attempt(write: () => void): void {
    try {
      write();
    } catch (error) {
      this.settings.logger.error(`mcp-anynode: a response broke off: ${String(error)}`);
      cut(this.res);
      this.onClosed();
    }
  }

  /** A client that does not read does not see the end either, and would keep the socket. */
  private linger(): void {
    if (this.res.writableLength === 0) return;
    this.cancelAge = this.settings.clock.after(LINGER_MS, () => cut(this.res));
  }

  /** Together with what was held. */
  private send(text: string): void {
    if (!this.closed) this.attempt(() => this.sendNow(text));
  }

  private sendNow(text: string): void {
    const begins = !this.begun;
    if (!this.begin({})) return;
    this.res.write(this.held + text);
    this.held = '';
    if (!begins) return;
    const { clock, maxStreamAgeMs, stalledMs } = this.settings;
    cutWhenStalled(this.res, stalledMs);
    this.scheduleKeepAlive();
    if (maxStreamAgeMs === 0) return;
    const { sessionId, name } = this.stream;
    const age = jittered(maxStreamAgeMs, clock);
    this.cancelAge = clock.after(age, () => this.settings.onOld(sessionId, name));
  }

  /** `false`: somebody else, a timeout in front perhaps, has answered meanwhile, or has ended the response. */
  private begin(headers: Record<string, number>): boolean {
    if (this.begun ? this.res.writableEnded : this.res.headersSent) {
      this.onClosed();
      return false;
    }
    if (this.begun) return true;
    this.begun = true;
    this.cancelFlush();
    const { sessionId } = this.stream;
    this.res.writeHead(200, { ...SSE_HEADERS, 'mcp-session-id': sessionId, ...headers });
    return true;
  }

  private scheduleKeepAlive(): void {
    const { clock, keepAliveMs } = this.settings;
    if (keepAliveMs === 0) return;
    this.cancelKeepAlive = clock.after(keepAliveMs, () => {
      if (this.closed || this.res.writableEnded) return;
      // A client that does not read gets no more to read.
      if (!needsDrain(this.res)) this.attempt(() => this.res.write(': keepalive\n\n'));
      if (!this.isClosed()) this.scheduleKeepAlive();
    });
  }

  private isClosed(): boolean {
    return this.closed;
  }

  private onClosed(): void {
    if (this.closed) return;
    this.closed = true;
    this.stopTimers();
    this.onClose();
  }

  private stopTimers(): void {
    this.cancelFlush();
    this.cancelKeepAlive();
    this.cancelAge();
  }
}
