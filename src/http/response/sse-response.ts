import type { EndpointResponse } from './endpoint-response.js';
import type { Position, StreamEvent } from '../../backplane/backplane.js';
import type { Clock } from '../../protocol/timing/clock.js';
import { jittered } from '../../protocol/timing/clock.js';
import type { SharedTimer } from '../../protocol/timing/shared-timer.js';
import type { Cursors } from '../../stream/cursor.js';
import type { Logger } from '../../options/public-types.js';
import type { EndReason, Sink } from '../../stream/followers/follower.js';
import { onOneLine } from '../../protocol/json/json-text.js';
import type { ResponseClosing } from './response-closing.js';
import { connectionOf, cut, needsDrain } from './response.js';
import { cutWhenStalled } from './stalled-client.js';

/** The settings that all SSE connections of a node share. */
export interface SseSettings {
  keepAliveMs: number;
  /** The `retry` that a client gets when its connection is ended on purpose. */
  retryMs: number;
  maxStreamAgeMs: number;
  maxBufferedBytes: number;
  /** See {@link cutWhenStalled}. */
  stalledMs: number;
  clock: Clock;
  logger: Pick<Logger, 'error'>;
  /** The timer for connections that wait a moment for their first message. See {@link SseConnection.open}. */
  soon: SharedTimer;
  /** Called when a connection has reached `maxStreamAgeMs`. The connection is ended if its client can come back. */
  onOld: (sessionId: string, stream: string) => void;
}

/** The stream that a connection shows, and its session. */
export interface SseStream {
  sessionId: string;
  name: string;
  cursors: Cursors;
  /** True for a GET, whose client can come back even without a cursor. */
  isGet: boolean;
}

const nothing = (): void => undefined;

/** A comment that keeps the connections of an idle stream open. Clients skip it. */
export const KEEP_ALIVE = ': keepalive\n\n';

/**
 * The headers of each event stream. The last one tells nginx not to buffer the stream. `Connection` is left to Node, which
 * knows what the client and the application asked for.
 */
export const SSE_HEADERS = {
  'Content-Type': 'text/event-stream',
  'Cache-Control': 'no-cache, no-transform',
  'X-Accel-Buffering': 'no',
};

/** A page of events is sent in parts of about so many characters. */
const SENT_AT_ONCE = 64 * 1024;

/** How long an ended connection may take to send what is buffered. */
export const LINGER_MS = 10_000;

/** An SSE response to one client. */
export class SseConnection implements Sink {
  /** True if the client has an event id, or gets one with the first bytes, and so can resume. */
  private hasCursor = false;
  private begun = false;
  private closed = false;
  /** Text that is written together with the next text. */
  private held = '';
  private corked = false;
  /** The events of a page that were not sent yet. */
  private page = '';
  private cancelFlush = nothing;
  private cancelKeepAlive = nothing;
  private cancelAge = nothing;

  /** `onClose` is called once, when the connection is closed by either side. */
  constructor(
    private readonly res: EndpointResponse,
    closing: ResponseClosing,
    private readonly stream: SseStream,
    private readonly settings: SseSettings,
    private readonly onClose: () => void,
  ) {
    closing.add(() => this.onClosed());
  }

  /**
   * Sends the headers and a comment, because proxies hold headers back until the first byte. No blank line follows the
   * comment, so that the first event comes next also for clients that split the text at blank lines. With `primed`, an event
   * without data follows, whose id lets the client resume before the first message. It has no `retry`, which some clients
   * take for an error.
   *
   * A GET gets this at once, a POST after a moment. Most calls are answered by then, and headers, priming and answer go out
   * in one write instead of three. Writes are most of the cost of a response.
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

  get buffered(): number {
    return this.res.writableLength;
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
      this.page += text;
    }
    if (end) this.held += this.takePage();
    else if (!this.corked || this.isPageFull()) this.sendPage();
    // The text is written together with the end, which comes next.
    if (end) return true;
    // If the socket's own buffer takes the text, no `drain` follows, so do not wait for one.
    const full = this.res.writableLength > this.settings.maxBufferedBytes;
    return !(full && needsDrain(this.res));
  }

  /** Makes the connection send events together, because writes are most of their cost. */
  cork(): void {
    this.corked = true;
  }

  uncork(): void {
    this.corked = false;
    this.sendPage();
  }

  whenRoom(callback: () => void): void {
    this.res.once('drain', callback);
  }

  end(reason: EndReason): void {
    if (this.closed) return;
    const { clock, retryMs } = this.settings;
    this.held += this.takePage();
    if (reason === 'hangup') this.held += `retry: ${Math.round(jittered(retryMs, clock))}\n\n`;
    this.attempt(() => {
      if (!this.begin({ 'Content-Length': Buffer.byteLength(this.held) })) return;
      this.res.end(this.held);
      this.stopTimers();
      // The response waits behind another one of its connection (pipelining), so the client cannot read it yet.
      if (connectionOf(this.res) === null) this.res.once('socket', () => this.linger());
      else this.linger();
    });
  }

  /**
   * Writes to the response. Middleware in front or an adapter may have changed the response so that it throws. Then only
   * this connection ends. Timers and messages of other nodes lead here, where no other code catches errors.
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

  /**
   * Cuts the connection after a while. A client that does not read does not see the end of the response, and would keep the
   * socket open.
   */
  private linger(): void {
    if (this.res.writableLength === 0) return;
    this.cancelAge = this.settings.clock.after(LINGER_MS, () => cut(this.res));
  }

  /** True if the events have to be sent now. Only then does `write` find out that the client takes no more. */
  private isPageFull(): boolean {
    const { length } = this.page;
    const buffered = this.res.writableLength + length;
    return length >= SENT_AT_ONCE || buffered > this.settings.maxBufferedBytes;
  }

  private takePage(): string {
    const { page } = this;
    this.page = '';
    return page;
  }

  private sendPage(): void {
    if (this.page !== '') this.send(this.takePage());
  }

  /** Sends a text, together with the text that was held. */
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

  /**
   * Begins the response if it has not begun. Returns false if other code (such as a timeout middleware) has answered or
   * ended the response.
   */
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
      // Do not add to what a client has not read yet.
      if (!needsDrain(this.res)) this.attempt(() => this.res.write(KEEP_ALIVE));
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
