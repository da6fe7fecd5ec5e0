/** What is common to all answers of the monitor: headers, JSON, errors, event streams. */
import type { ServerResponse } from 'node:http';

const POLICY = [
  ...["default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self' data:"],
  ...["connect-src 'self'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"],
].join('; ');

/** An event stream whose reader does not read is ended when so much waits for it. */
const MOST_WAITING_BYTES = 4 * 1024 * 1024;
const PING_MS = 15_000;

/** A request that is refused. The text goes to the page. */
export class Refused extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

export function setSafeHeaders(res: ServerResponse): void {
  res.setHeader('Content-Security-Policy', POLICY);
  res.setHeader('Referrer-Policy', 'no-referrer');
  res.setHeader('X-Content-Type-Options', 'nosniff');
  res.setHeader('X-Frame-Options', 'DENY');
  res.setHeader('Cross-Origin-Opener-Policy', 'same-origin');
  res.setHeader('Cross-Origin-Resource-Policy', 'same-origin');
  res.setHeader('Cache-Control', 'no-store');
}

export function sendJson(res: ServerResponse, status: number, value: unknown): void {
  sendText(res, status, 'application/json; charset=utf-8', JSON.stringify(value));
}

export function sendText(res: ServerResponse, status: number, type: string, text: string): void {
  if (res.headersSent || res.destroyed) return;
  res.statusCode = status;
  res.setHeader('Content-Type', type);
  res.end(text);
}

/** An answer that goes on until the page leaves, or `end` is called. */
export class EventStream {
  private readonly pings: NodeJS.Timeout;
  readonly closed: AbortSignal;

  constructor(private readonly res: ServerResponse) {
    const controller = new AbortController();
    this.closed = controller.signal;
    res.once('close', () => {
      clearInterval(this.pings);
      controller.abort();
    });
    res.statusCode = 200;
    res.setHeader('Content-Type', 'text/event-stream; charset=utf-8');
    res.setHeader('X-Accel-Buffering', 'no');
    res.write(': begun\n\n');
    this.pings = setInterval(() => res.write(': ping\n\n'), PING_MS);
    this.pings.unref();
  }

  /** Sends a value. It resolves when the reader has room for the next one, or is gone. */
  async send(value: unknown): Promise<void> {
    const { res } = this;
    if (this.closed.aborted) return;
    if (res.writableLength > MOST_WAITING_BYTES) return void res.destroy();
    if (res.write(`data: ${JSON.stringify(value)}\n\n`)) return;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        res.removeListener('drain', done);
        res.removeListener('close', done);
        resolve();
      };
      res.once('drain', done);
      res.once('close', done);
    });
  }

  end(): void {
    clearInterval(this.pings);
    this.res.end();
  }
}
