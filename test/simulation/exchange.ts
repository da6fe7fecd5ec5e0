import { EventEmitter } from 'node:events';
import type { Random } from './random.js';
import type { Process, Scheduler } from './scheduler.js';

/** The callbacks through which a client learns of the response to its request. */
export interface Listener {
  head(status: number, headers: Record<string, string>): void;
  data(text: string): void;
  /** The response is complete. */
  end(): void;
  /** The connection broke, or could not be made. */
  cut(): void;
}

export interface HttpRequest {
  method: 'POST' | 'GET' | 'DELETE';
  headers: Record<string, string>;
  body?: unknown;
  /** The path, for the transport HTTP+SSE. Left out: the request belongs to Streamable HTTP. */
  path?: '/sse' | '/messages';
  query?: Record<string, string>;
}

export interface Wire {
  scheduler: Scheduler;
  random: Random;
  latencyMs: number;
  /** How many bytes a socket takes before its writer has to wait. */
  kernelBytes: number;
}

/**
 * One HTTP request and its response, over a connection that delays, fills up and breaks. On the node's side, it stands in
 * for the request and response of Express, as far as the library uses them.
 */
export class Exchange {
  readonly response: SimResponse;
  /** When the node began the response, and when it was told that the connection is closed. */
  headAt: number | undefined;
  closedAt: number | undefined;
  private open = true;
  private reading = true;
  private incomplete = false;
  private readonly unread: (() => void)[] = [];
  private readonly toClient: (ms: number, run: () => void) => void;
  /** Data on its way to the client. A crash of the node may lose it. */
  private readonly transit = new Set<() => void>();

  constructor(
    private readonly wire: Wire,
    readonly process: Process,
    private readonly listener: Listener,
    readonly name: string,
    private readonly onWrite: (text: string, waiting: number) => void = () => undefined,
  ) {
    this.toClient = wire.scheduler.channel();
    this.response = new SimResponse(this, wire.kernelBytes);
  }

  /** Hands the request to the node. The connection may break off before the request arrives. */
  begin(request: HttpRequest, handle: (req: object, res: SimResponse) => void): void {
    this.wire.scheduler.after(
      this.latency(),
      () => {
        if (!this.open) return;
        const req = requestOf(request);
        this.response.req = req;
        handle(req, this.response);
      },
      this.process,
    );
  }

  get isOpen(): boolean {
    return this.open;
  }

  /** Ends the connection on the client's side. The node notices after `noticedMs`. */
  hangUp(noticedMs: number): void {
    if (!this.open) return;
    this.open = false;
    this.wire.scheduler.after(noticedMs, () => this.response.closed(), this.process);
    this.listener.cut();
  }

  /** Ends the connection because the node's process has ended. Data on its way may still arrive, or is lost. */
  broken(): void {
    if (!this.open) return;
    const lost = this.wire.random.chance(0.5);
    if (lost) this.transit.clear();
    this.incomplete ||= lost;
    this.toClient(this.latency(), () => this.end('cut'));
  }

  stopReading(): void {
    this.reading = false;
  }

  goOnReading(): void {
    this.reading = true;
    for (const run of this.unread.splice(0)) run();
  }

  // The node calls the following methods, through `SimResponse`.

  head(status: number, headers: Record<string, string>): void {
    this.headAt = this.wire.scheduler.elapsed;
    this.carry(() => this.listener.head(status, headers), 0);
  }

  written(text: string, waiting: number): void {
    this.onWrite(text, waiting);
  }

  send(text: string): void {
    this.carry(() => this.listener.data(text), text.length);
  }

  finish(how: 'end' | 'cut'): void {
    this.toClient(this.latency(), () => this.whenReading(() => this.end(how)));
    this.wire.scheduler.after(0, () => this.response.closed(), this.process);
  }

  closed(): void {
    this.closedAt ??= this.wire.scheduler.elapsed;
  }

  private carry(arrive: () => void, bytes: number): void {
    this.transit.add(arrive);
    this.toClient(this.latency(), () => {
      this.whenReading(() => {
        if (this.transit.delete(arrive) && this.open) arrive();
        if (bytes === 0) return;
        this.wire.scheduler.after(this.latency(), () => this.response.taken(bytes), this.process);
      });
    });
  }

  private whenReading(run: () => void): void {
    if (this.reading) run();
    else this.unread.push(run);
  }

  private end(how: 'end' | 'cut'): void {
    if (!this.open) return;
    this.open = false;
    this.listener[this.incomplete ? 'cut' : how]();
  }

  private latency(): number {
    return this.wire.random.next() * this.wire.latencyMs;
  }
}

function requestOf({ method, headers, body, path, query = {} }: HttpRequest): object {
  return {
    method,
    headers,
    ...{ path, query, baseUrl: '' },
    rawHeaders: Object.entries(headers).flat(),
    body: body === undefined ? undefined : (JSON.parse(JSON.stringify(body)) as unknown),
    readableEnded: true,
    socket: {},
    originalUrl: path ?? '/mcp',
    protocol: 'http',
    app: { get: () => undefined },
  };
}

/** From this many waiting bytes on, a writer is told to wait. */
export const HIGH_WATER = 128;

/** Behaves like Node's `ServerResponse`, as far as the library uses it. */
export class SimResponse extends EventEmitter {
  req: object | undefined;
  headersSent = false;
  destroyed = false;
  writableEnded = false;
  writableNeedDrain = false;
  private readonly headers: Record<string, string> = {};
  private pending: string[] = [];
  private inKernel = 0;
  private finished = false;

  constructor(
    private readonly exchange: Exchange,
    private readonly kernelBytes: number,
  ) {
    super();
  }

  get writableLength(): number {
    return this.pending.reduce((sum, text) => sum + text.length, 0);
  }

  setHeader(name: string, value: string): this {
    this.headers[name.toLowerCase()] = value;
    return this;
  }

  writeHead(status: number, headers: Record<string, string> = {}): this {
    if (this.headersSent) throw new Error('ERR_HTTP_HEADERS_SENT');
    this.headersSent = true;
    for (const [name, value] of Object.entries(headers)) this.setHeader(name, value);
    if (!this.destroyed) this.exchange.head(status, this.headers);
    return this;
  }

  write(text: string): boolean {
    if (this.writableEnded) throw new Error('ERR_STREAM_WRITE_AFTER_END');
    if (this.destroyed) return false;
    this.exchange.written(text, this.writableLength);
    this.pending.push(text);
    this.pump();
    if (this.writableLength >= HIGH_WATER) this.writableNeedDrain = true;
    return !this.writableNeedDrain;
  }

  end(text?: string): this {
    if (this.writableEnded) return this;
    if (!this.headersSent) this.writeHead(200);
    if (text !== undefined) this.write(text);
    this.writableEnded = true;
    this.pump();
    return this;
  }

  destroy(): this {
    if (this.destroyed) return this;
    this.destroyed = true;
    this.pending = [];
    this.exchange.finish('cut');
    return this;
  }

  /** Notes that the client's machine has taken some of the bytes that were sent. */
  taken(bytes: number): void {
    this.inKernel -= bytes;
    if (!this.destroyed) this.pump();
  }

  /** Notes that the connection is closed, by either side. */
  closed(): void {
    this.exchange.closed();
    if (this.listenerCount('close') === 0 && this.destroyed) return;
    this.destroyed = true;
    this.pending = [];
    const listeners = this.rawListeners('close');
    this.removeAllListeners('close');
    for (const listener of listeners) (listener as () => void).call(this);
  }

  private pump(): void {
    while (this.inKernel < this.kernelBytes) {
      const text = this.pending.shift();
      if (text === undefined) break;
      this.inKernel += text.length;
      this.exchange.send(text);
    }
    if (this.pending.length > 0) return;
    if (this.writableEnded && !this.finished) {
      this.finished = true;
      this.exchange.finish('end');
    } else if (this.writableNeedDrain) {
      this.writableNeedDrain = false;
      this.emit('drain');
    }
  }
}
