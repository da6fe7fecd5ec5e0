import type { Response } from 'express';
import type { StreamEvent } from '../backplane/backplane.js';
import type { Clock } from '../protocol/timing/clock.js';
import { jittered } from '../protocol/timing/clock.js';
import { onOneLine } from '../protocol/json/json-text.js';
import type { Logger } from '../options/public-types.js';
import type { EndReason, Sink } from '../stream/followers/follower.js';
import { cut, needsDrain } from '../http/response/response.js';
import { KEEP_ALIVE, LINGER_MS, SSE_HEADERS } from '../http/response/sse-response.js';

export interface LegacyConnectionOptions {
  keepAliveMs: number;
  /** The `retry` that a client gets when its connection ends because this node closes. */
  retryMs: number;
  maxBufferedBytes: number;
  clock: Clock;
  logger: Pick<Logger, 'error'>;
  /** Called once when the client or the network closes the connection, unless this node ended it first. */
  onClose: () => void;
  /** Called when this node ends the connection. */
  onEnd: (reason: EndReason) => void;
  /** Called when a failover has lost messages that the client was shown. */
  onRestart: () => void;
  /** Called when a node has begun to receive requests of this client. */
  onOpener: (nodeId: string) => void;
}

/**
 * The one SSE response of an HTTP+SSE client. Its events have no ids, so the client cannot resume. Therefore the node ends
 * it on purpose only when the node closes or the session ends.
 */
export class LegacyConnection implements Sink {
  readonly resumable = false;
  private ended = false;
  private cancelTimer: () => void = () => undefined;

  constructor(
    private readonly res: Response,
    private readonly options: LegacyConnectionOptions,
  ) {
    res.on('close', () => this.onClosed());
  }

  /** Sends the headers and tells the client where to POST to. */
  open(endpoint: string): void {
    this.attempt(() => this.res.writeHead(200, SSE_HEADERS));
    this.say(`event: endpoint\ndata: ${endpoint}\n\n`);
    this.scheduleKeepAlive();
  }

  write({ message, asker }: StreamEvent): boolean {
    if (message !== undefined) this.say(`event: message\ndata: ${onOneLine(message)}\n\n`);
    else if (asker !== undefined) this.options.onOpener(asker);
    // If the socket's own buffer takes the text, no `drain` follows, so do not wait for one.
    const full = this.res.writableLength > this.options.maxBufferedBytes;
    return !(full && needsDrain(this.res));
  }

  /**
   * Ends the connection after a failover has lost messages. Answers that the client waits for may be lost as well, and the
   * client cannot ask for them again. So it has to connect anew.
   */
  restarted(): void {
    this.options.onRestart();
  }

  whenRoom(callback: () => void): void {
    this.res.once('drain', callback);
  }

  end(reason: EndReason): void {
    const { clock, retryMs, onEnd } = this.options;
    onEnd(reason);
    if (this.ended) return;
    this.ended = true;
    if (reason === 'hangup') this.say(`retry: ${Math.round(jittered(retryMs, clock))}\n\n`);
    this.attempt(() => this.res.end());
    this.cancelTimer();
    // A client that does not read does not see the end of the response, and would keep the socket open.
    this.cancelTimer = clock.after(LINGER_MS, () => cut(this.res));
  }

  /** Writes a text, unless other code (such as a timeout middleware) has ended the response. */
  private say(text: string): void {
    if (!this.res.writableEnded) this.attempt(() => this.res.write(text));
  }

  /**
   * Writes to the response. If it throws, only this connection ends, as in {@link SseConnection}: timers call this, and do
   * not catch errors.
   */
  private attempt(write: () => void): void {
    try {
      write();
    } catch (error) {
      this.options.logger.error(`mcp-anynode: a response broke off: ${String(error)}`);
      cut(this.res);
      this.onClosed();
    }
  }

  private onClosed(): void {
    this.cancelTimer();
    if (!this.ended) this.options.onClose();
    this.ended = true;
  }

  private scheduleKeepAlive(): void {
    const { clock, keepAliveMs } = this.options;
    if (keepAliveMs === 0) return;
    this.cancelTimer = clock.after(keepAliveMs, () => {
      // Do not add to what a client has not read yet.
      if (!needsDrain(this.res)) this.say(KEEP_ALIVE);
      if (!this.ended) this.scheduleKeepAlive();
    });
  }
}

/** The sink of a stream whose messages are shown on the client's one connection. It shows nothing itself. */
export class LegacyRequests implements Sink {
  readonly resumable = false;

  /** `onLost` is called when a failover has lost the requests, so that their client would wait for ever. */
  constructor(private readonly onLost: () => void) {}

  write(): boolean {
    return true;
  }

  whenRoom(): void {
    // There always is room, because nothing is shown here.
  }

  end(reason: EndReason): void {
    if (reason === 'unknown') this.onLost();
  }
}
