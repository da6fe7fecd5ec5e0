import { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { AuthInfo } from '../../options/public-types.js';

/** What the caller of `mcp.fetch` knows of a request, beside the `Request` itself. Nothing of it has to be given. */
export interface FetchOptions {
  /** Who is calling, as authorization in front has found out. It is then `req.auth`, for `principal` and for handlers. */
  authInfo?: AuthInfo | undefined;
  /** The body, if other code has read it: a parsed value, a text, or a `Buffer`. The body of the request is not read then. */
  parsedBody?: unknown;
  /**
   * The address of the other end of the connection, such as `203.0.113.7`. It is `req.socket.remoteAddress` for `principal`.
   * If it is a loopback address, or is left out, and the option `allowedHosts` was not given, then a host that is not
   * `localhost` is refused with 403. Do not take it from a header that a client can set.
   */
  clientAddress?: string | undefined;
}

const nothing = (): void => undefined;

/**
 * A `Request` of the Fetch standard, as a request of Node's HTTP server. The body is read as it is asked for, and no faster.
 * Its socket is an object with what is known of the connection.
 */
export class FetchedRequest extends IncomingMessage {
  /** The address of the other end of the connection, if it is known. */
  readonly clientAddress: string | undefined;
  /** Who is calling. The property is missing if the caller of `mcp.fetch` has not said so. */
  declare auth?: AuthInfo;
  /** The body, if other code has parsed it. */
  declare body?: unknown;
  private readonly source: globalThis.Request | undefined;
  private reader: ReadableStreamDefaultReader<Uint8Array> | undefined;
  private isReading = false;

  constructor(
    request: globalThis.Request,
    { authInfo, parsedBody, clientAddress }: FetchOptions,
    /** Called if the body cannot be read, because other code has read it or reads it. */
    private readonly onTaken: () => void,
  ) {
    const { protocol, host, pathname, search } = new URL(request.url);
    const socket = { remoteAddress: clientAddress, encrypted: protocol === 'https:' };
    super(socket as unknown as Socket);
    this.clientAddress = clientAddress;
    this.httpVersion = '1.1';
    this.method = request.method;
    this.url = `${pathname}${search}`;
    const headers: Record<string, string> = {};
    for (const [name, value] of request.headers) {
      headers[name] = value;
      this.rawHeaders.push(name, value);
    }
    // A request that comes from no server has no such header.
    if (headers.host === undefined && host !== '') headers.host = host;
    this.headers = headers;
    if (authInfo !== undefined) this.auth = authInfo;
    if (parsedBody !== undefined) this.body = parsedBody;
    this.source = parsedBody === undefined ? request : undefined;
  }

  /** Returns a header, as a request of Express does. */
  get(name: string): string | undefined {
    const value = this.headers[name.toLowerCase()];
    return typeof value === 'string' ? value : undefined;
  }

  override _read(): void {
    void this.readOn();
  }

  /** Lets go of the body. Node's own method would look for the socket. */
  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.reader?.cancel(error).catch(nothing);
    // As in Node, an error without a listener is none.
    done(this.listenerCount('error') > 0 ? error : null);
  }

  /** Reads the body until there is enough for now. Never rejects. */
  private async readOn(): Promise<void> {
    if (this.isReading) return;
    this.isReading = true;
    try {
      this.reader ??= this.open();
      for (;;) {
        const next = await this.reader?.read();
        if (this.destroyed) return;
        if (next?.value === undefined) break;
        const { buffer, byteOffset, byteLength } = next.value;
        // The stream may ask for more while it gets this chunk.
        this.isReading = false;
        const wantsMore = this.push(Buffer.from(buffer, byteOffset, byteLength));
        if (!wantsMore || this.wasAskedAgain()) return;
        this.isReading = true;
      }
      this.complete = true;
      this.push(null);
    } catch (error) {
      this.destroy(error instanceof Error ? error : new Error(String(error)));
    }
  }

  private wasAskedAgain(): boolean {
    return this.isReading;
  }

  /** Begins to read the body. Returns `undefined` if there is none that could be read. */
  private open(): ReadableStreamDefaultReader<Uint8Array> | undefined {
    const { source } = this;
    if (source?.bodyUsed !== true && source?.body?.locked !== true) {
      return source?.body?.getReader();
    }
    this.onTaken();
    return undefined;
  }
}
