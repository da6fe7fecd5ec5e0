import type { Response } from 'express';
import type { StreamEvent } from '../backplane/backplane.js';
import type { Clock } from '../protocol/clock.js';
import { jittered } from '../protocol/clock.js';
import { onOneLine } from '../protocol/json-text.js';
import type { Logger } from '../options/types.js';
import type { EndReason, Sink } from '../stream/follower.js';
import { cut, needsDrain } from '../http/response/response.js';
import { LINGER_MS, SSE_HEADERS } from '../http/response/sse-response.js';

export interface LegacyConnectionOptions {
  keepAliveMs: number;
  /** Told to a client whose connection is ended because this node closes. */
  retryMs: number;
  maxBufferedBytes: number;
  clock: Clock;
  logger: Pick<Logger, 'error'>;
  /** The client has closed the connection, or the network has. Called once, unless this side was first. */
  onClose: () => void;
  /** This side ends it. */
  onEnd: (reason: EndReason) => void;
  /** The backplane has lost what the client was shown last. */
  onRestart: () => void;
  /** A node has begun to take requests of this client. */
  onOpener: (nodeId: string) => void;
}

/**
 * The one SSE response of an HTTP+SSE client. Its events have no ids: there is no coming back, so nothing ends it on
 * purpose but the end of this node or of the session.
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
    // With less than the socket's own buffer takes there would never be a `drain` to wait for.
    const full = this.res.writableLength > this.options.maxBufferedBytes;
    return !(full && needsDrain(this.res));
  }

  /** What the client waits for may be lost as well, and it cannot ask for it again: it is to begin anew. */
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
    // A client that does not read does not see the end either, and would keep the socket.
    this.cancelTimer = clock.after(LINGER_MS, () => cut(this.res));
  }

  /** Unless somebody else, a timeout in front perhaps, has ended the response. */
  private say(text: string): void {
    if (!this.res.writableEnded) this.attempt(() => this.res.write(text));
  }

  /** As in {@link SseConnection}: where nobody catches what a response throws, it ends this connection and nothing else. */
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
      // A client that does not read gets no more to read.
      if (!needsDrain(this.res)) this.say(': keepalive\n\n');
      if (!this.ended) this.scheduleKeepAlive();
    });
  }
}

/** Follows the stream of requests whose answers are shown on the client's one connection. */
export class LegacyRequests implements Sink {
  readonly resumable = false;
  private hasEnded = false;

  /** `onLost`: the backplane has lost the requests (a failover), so that their client would wait for ever. */
  constructor(private readonly onLost: () => void) {}

  write({ end }: StreamEvent): boolean {
    this.hasEnded ||= end;
    return true;
  }

  whenRoom(): void {
    // There always is room: nothing is shown here.
  }

  end(reason: EndReason): void {
    if (reason === 'complete') this.completed();
  }

  /** The stream is over. The log tells so, unless it does not know the stream. */
  private completed(): void {
    if (!this.hasEnded) this.onLost();
  }
}
