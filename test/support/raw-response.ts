import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { text } from 'node:stream/consumers';
import type { JsonRpc, RequestId } from './json-rpc.js';
import { answers, SseReader, type SseEvent } from './sse-reader.js';

/** The server answered with another status than the test expects. */
export class HttpError extends Error {
  override name = 'HttpError';

  constructor(
    readonly status: number,
    readonly body: string,
    what: string,
  ) {
    super(`Expected ${what}, got ${status} ${body || '(no body)'}`);
  }
}

/** An HTTP response of an MCP endpoint: a stream of events, or a body that was read to its end. */
export class RawResponse {
  private constructor(
    readonly status: number,
    readonly headers: IncomingHttpHeaders,
    /** The body. It is empty for a stream. */
    readonly body: string,
    readonly stream: SseReader | undefined,
    private readonly incoming: IncomingMessage,
  ) {}

  static async read(incoming: IncomingMessage): Promise<RawResponse> {
    const { statusCode = 0, headers } = incoming;
    const isStream = headers['content-type']?.startsWith('text/event-stream') === true;
    const stream = isStream ? new SseReader(incoming) : undefined;
    const body = isStream ? '' : await text(incoming);
    return new RawResponse(statusCode, headers, body, stream, incoming);
  }

  /** The id of the node that answered, from the response header. */
  get node(): string | undefined {
    return this.headers['x-anynode-node'] as string | undefined;
  }

  /** Returns the stream of events. Throws `HttpError` if the response is none. */
  get sse(): SseReader {
    if (this.stream === undefined) throw new HttpError(this.status, this.body, 'a stream');
    return this.stream;
  }

  json(): JsonRpc {
    return JSON.parse(this.body) as JsonRpc;
  }

  /** Returns the events of the stream, until it ends. Throws `HttpError` if the response is none. */
  events(): AsyncGenerator<SseEvent, void, undefined> {
    return this.sse[Symbol.asyncIterator]();
  }

  /** Returns itself, or throws `HttpError` if the status is another one. */
  expect(status: number): this {
    if (this.status !== status) throw new HttpError(this.status, this.body, `${status}`);
    return this;
  }

  /** The JSON-RPC response to a request, from the stream or the body. Throws `HttpError` unless the status is 200. */
  async answer(id: RequestId, timeoutMs = 20_000): Promise<JsonRpc> {
    this.expect(200);
    if (this.stream !== undefined) {
      const { message } = await this.stream.next(answers(id), timeoutMs);
      if (message !== undefined) return message;
    }
    const parsed = JSON.parse(this.body) as JsonRpc | JsonRpc[];
    const found = [parsed].flat().find((message) => message.id === id);
    if (found === undefined) throw new Error(`No response to ${id} in ${this.body}`);
    return found;
  }

  /** Destroys the connection. */
  close(): void {
    if (this.stream === undefined) this.incoming.destroy();
    else this.stream.close();
  }
}
