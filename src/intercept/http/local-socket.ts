import { AsyncResource } from 'node:async_hooks';
import { Socket } from 'node:net';

type Done = (error?: Error | null) => void;

/**
 * One end of a connection within this process: a Node socket that the kernel does not know. The bytes that one end writes
 * reach the other end in a later turn of the event loop, and the other end reads them at its own pace. After the last bytes
 * it gets `end`. Timeouts, `cork`, `pipe` and events are Node's. As with a real socket, the events of one end do not run in
 * the asynchronous context of the other end's writer.
 */
export class LocalSocket extends Socket {
  private other: LocalSocket | undefined;
  /** The callback of a write that waits until the other end has room. */
  private full: Done | undefined;
  /** True once this end has told the other end that it writes no more. */
  private said = false;
  /** The asynchronous context in which the connection was opened. */
  private readonly context = new AsyncResource('LocalSocket');

  static pair(): [LocalSocket, LocalSocket] {
    const [one, two] = [new LocalSocket(), new LocalSocket()];
    one.other = two;
    two.other = one;
    return [one, two];
  }

  /** The other end. */
  get peer(): LocalSocket | undefined {
    return this.other;
  }

  private constructor() {
    super({ allowHalfOpen: true });
    for (const [name, value] of ADDRESSES) Object.defineProperty(this, name, { value });
  }

  override _read(): void {
    const { other } = this;
    if (other?.full === undefined) return;
    const { full, context } = other;
    other.full = undefined;
    context.runInAsyncScope(full);
  }

  override _write(chunk: Buffer | string, encoding: BufferEncoding, done: Done): void {
    this.pass(bytesOf({ chunk, encoding }), done);
  }

  override _writev(chunks: Chunk[], done: Done): void {
    this.pass(Buffer.concat(chunks.map(bytesOf)), done);
  }

  override _final(done: Done): void {
    this.sayEnd();
    done();
  }

  override _destroy(error: Error | null, done: Done): void {
    this.sayEnd();
    super._destroy(error, done);
    const { full } = this;
    this.full = undefined;
    full?.();
    // The other end may wait for this end to read.
    this._read();
  }

  // The kernel does not know this socket, so these have no effect.

  override setNoDelay(): this {
    return this;
  }

  override setKeepAlive(): this {
    return this;
  }

  override ref(): this {
    return this;
  }

  override unref(): this {
    return this;
  }

  private pass(bytes: Buffer, done: Done): void {
    this.later((other) => {
      if (other === undefined || other.destroyed) done(closed());
      else if (bytes.length === 0 || other.push(bytes)) done();
      else this.full = done;
    });
  }

  /** Ends the other end's reading side, after everything that was written. */
  private sayEnd(): void {
    if (this.said) return;
    this.said = true;
    this.later((other) => {
      if (other !== undefined && !other.destroyed) other.push(null);
    });
  }

  private later(what: (other: LocalSocket | undefined) => void): void {
    setImmediate(() => this.context.runInAsyncScope(what, undefined, this.other));
  }
}

interface Chunk {
  chunk: Buffer | string;
  encoding: BufferEncoding;
}

function bytesOf({ chunk, encoding }: Chunk): Buffer {
  return typeof chunk === 'string' ? Buffer.from(chunk, encoding) : chunk;
}

function closed(): Error {
  return Object.assign(new Error('write EPIPE'), { code: 'EPIPE', syscall: 'write' });
}

/** The addresses of both ends, which are in this process. */
const ADDRESSES = [
  ['remoteAddress', '127.0.0.1'],
  ['remoteFamily', 'IPv4'],
  ['localAddress', '127.0.0.1'],
] as const;
