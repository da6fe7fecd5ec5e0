import { Writable } from 'node:stream';
import { setTimeout } from 'node:timers';
import type { EndpointResponse } from '../response/endpoint-response.js';

type Done = (error?: Error | null) => void;

/**
 * How many bytes the reader may leave in its stream, as the buffer of a socket would take them. Beyond that they wait in the
 * response, where they count as buffered.
 */
const BUFFERED_BYTES = 64 * 1024;

/** The status of a response whose client went before it began. No client gets it. */
const CLIENT_GONE = 499;

/** The statuses that have no body (Fetch standard). */
const NO_BODY = new Set([204, 205, 304]);

/**
 * What the endpoint writes as a response of Node's HTTP server, and the caller of `mcp.fetch` gets as a `Response`. A body
 * that is known at once is handed over whole, and every other one as a stream:
 *
 * - The reader sets the pace. What it has not taken counts as buffered (`writableLength`), and `drain` says that it has.
 * - If the reader cancels the stream, the response is closed, as if the client had cut its connection.
 * - If this end is destroyed, the reader gets an error, unless the client has gone.
 */
export class FetchedResponse extends Writable implements EndpointResponse {
  /** True once status and headers are fixed. */
  headersSent = false;
  /** With `false`, the response says that the connection ends with it, if there is one. */
  shouldKeepAlive = true;
  statusCode = 200;
  /** Resolves with the response when it begins, and never rejects. */
  readonly response: Promise<globalThis.Response>;
  private headers = new Headers();
  private settle!: (response: globalThis.Response) => void;
  private controller: ReadableStreamDefaultController<Uint8Array> | undefined;
  private began = false;
  private ended = false;
  /** The callback of the write that waits for the reader. */
  private waiting: Done | undefined;
  private clientGone = false;
  /** How many writes the reader has let go on. Node uses one callback for all. */
  private takenWrites = 0;
  private stalledMs = 0;
  private stallTimer: NodeJS.Timeout | undefined;

  constructor(private readonly method: string) {
    super();
    this.response = new Promise((resolve) => (this.settle = resolve));
    // What was wrong reaches the reader. Without a listener here, it would end the process.
    this.on('error', () => undefined);
  }

  setHeader(name: string, value: string): this {
    this.headers.set(name, value);
    return this;
  }

  writeHead(status: number, headers: Record<string, string | number> = {}): this {
    if (this.headersSent) throw new Error('the headers were written already');
    const all = new Headers(this.headers);
    for (const [name, value] of Object.entries(headers)) all.set(name, String(value));
    this.headers = all;
    this.statusCode = status;
    this.headersSent = true;
    return this;
  }

  /** Begins the response before there is a body. */
  flushHeaders(): void {
    if (!this.began && !this.destroyed) this.openStream();
  }

  override end(chunk?: unknown, ...rest: unknown[]): this {
    if (!this.began && !this.destroyed && !this.writableEnded && isSmall(chunk)) {
      this.begin(chunk ?? null);
      return super.end();
    }
    return super.end(...([chunk, ...rest] as Parameters<Writable['end']>));
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: Done): void {
    const controller = this.controller ?? this.openStream();
    if (this.hasNoBody()) {
      done();
      return;
    }
    // A plain array, without the methods of `Buffer`.
    controller.enqueue(new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength));
    if ((controller.desiredSize ?? 0) > 0) {
      done();
      return;
    }
    this.waiting = done;
    this.watchReader();
  }

  override _final(done: Done): void {
    this.ended = true;
    if (!this.began) this.begin(null);
    this.controller?.close();
    done();
  }

  override _destroy(error: Error | null, done: Done): void {
    clearTimeout(this.stallTimer);
    this.waiting = undefined;
    if (!this.ended) {
      // An error would be logged by servers, although it is no news that a client goes.
      if (this.clientGone) this.controller?.close();
      else this.controller?.error(error ?? new Error('mcp-anynode: the response was cut'));
      this.settle(new Response(null, { status: this.clientGone ? CLIENT_GONE : 500 }));
    }
    done(error);
  }

  /** Closes the response because its client has gone. */
  hangUp(): void {
    this.clientGone = true;
    this.destroy();
  }

  /** Emits `timeout` when the reader has taken nothing for `ms`, or for up to twice as long, while bytes wait for it. */
  emitTimeoutWhenStalled(ms: number): void {
    this.stalledMs = ms;
    this.watchReader();
  }

  private watchReader(): void {
    if (this.stalledMs === 0 || this.waiting === undefined || this.stallTimer !== undefined) return;
    const { takenWrites, controller } = this;
    const room = controller?.desiredSize;
    this.stallTimer = setTimeout(() => {
      this.stallTimer = undefined;
      const isStalled =
        this.waiting !== undefined &&
        this.takenWrites === takenWrites &&
        controller?.desiredSize === room;
      if (isStalled) this.emit('timeout');
      else this.watchReader();
    }, this.stalledMs).unref();
  }

  private openStream(): ReadableStreamDefaultController<Uint8Array> {
    let controller: ReadableStreamDefaultController<Uint8Array> | undefined;
    const body = new ReadableStream<Uint8Array>(
      {
        start: (own) => void (controller = own),
        pull: () => this.taken(),
        cancel: () => {
          this.controller = undefined;
          this.hangUp();
        },
      },
      { highWaterMark: BUFFERED_BYTES, size: (chunk) => chunk.byteLength },
    );
    this.controller = controller;
    this.begin(body);
    return controller as unknown as ReadableStreamDefaultController<Uint8Array>;
  }

  /** Lets the write go on that waited for the reader. */
  private taken(): void {
    const { waiting } = this;
    this.waiting = undefined;
    this.takenWrites += 1;
    waiting?.();
  }

  private begin(body: string | ReadableStream<Uint8Array> | null): void {
    const { headers, statusCode: status } = this;
    if (!this.shouldKeepAlive) headers.set('Connection', 'close');
    const response = new Response(this.hasNoBody() ? null : body, { status, headers });
    this.headersSent = true;
    this.began = true;
    this.settle(response);
  }

  private hasNoBody(): boolean {
    return this.method === 'HEAD' || NO_BODY.has(this.statusCode);
  }
}

/** True for a body that a socket would take at once. */
function isSmall(chunk: unknown): chunk is string | undefined {
  return chunk === undefined || (typeof chunk === 'string' && chunk.length <= BUFFERED_BYTES);
}
