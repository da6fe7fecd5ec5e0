import { Agent, request as httpRequest, type IncomingMessage } from 'node:http';
import { notification, request, response, type JsonRpc, type RequestId } from './json-rpc.js';
import { RawResponse } from './raw-response.js';
import { exchangeWithoutPort, handlerAt } from './without-port.js';
import type { SseReader } from './sse-reader.js';

export { notification, request, response, type JsonRpc, type RequestId } from './json-rpc.js';
export { HttpError, RawResponse } from './raw-response.js';
export { answers, hasMethod, SseReader } from './sse-reader.js';

/** Headers to add to those that a step sends anyway. `undefined` removes a header. Names are in lower case. */
export type Headers = Record<string, string | undefined>;

export interface SendOptions {
  headers?: Headers;
  /** Destroys the connection. If there is no response yet, the step rejects with an `AbortError`. */
  signal?: AbortSignal;
}

export interface RawClientOptions {
  /** The protocol revision to ask for. Default: '2025-11-25'. */
  protocolVersion?: string;
  /** Headers for every request, e.g. `authorization`. */
  headers?: Headers;
}

export interface InitializeOptions extends SendOptions {
  capabilities?: Record<string, unknown>;
  clientInfo?: { name: string; version: string };
  /** The URL of the node that gets `notifications/initialized`. Left out: the same node. With `false`, it is not sent. */
  initialized?: string | false;
}

/**
 * An MCP client that uses plain HTTP, so that a test can choose the node for each step.
 *
 * Steps take the URL of a node's endpoint. A URL without a path gets `/mcp`. Every request has its own connection, which is
 * closed together with its response.
 */
export class RawClient {
  /** The session id from the answer to `initialize`. A test may set it, to send requests for another session. */
  sessionId: string | undefined;
  /** The negotiated protocol revision, or `undefined` before `initialize`. */
  protocolVersion: string | undefined;
  readonly #wanted: string;
  readonly #headers: Headers;
  readonly #agent = new Agent({ keepAlive: false });
  readonly #open = new Set<SseReader>();
  #lastId = 0;

  constructor(options: RawClientOptions = {}) {
    this.#wanted = options.protocolVersion ?? '2025-11-25';
    this.#headers = options.headers ?? {};
  }

  /** Returns an id that this client has not used yet. */
  nextId(): number {
    return ++this.#lastId;
  }

  /**
   * Opens a session and keeps its id. Returns the server's response to `initialize`. Throws `HttpError` if the server
   * refuses.
   */
  async initialize(url: string, options: InitializeOptions = {}): Promise<JsonRpc> {
    const { capabilities = {}, clientInfo = { name: 'raw', version: '1.0.0' } } = options;
    const { initialized = url, ...send } = options;
    const id = this.nextId();
    const params = { protocolVersion: this.#wanted, capabilities, clientInfo };
    const answer = await this.post(url, request(id, 'initialize', params), send);
    const message = await answer.answer(id);
    this.sessionId = answer.headers['mcp-session-id'] as string | undefined;
    this.protocolVersion = message.result?.['protocolVersion'] as string | undefined;
    if (initialized !== false) await this.notify(initialized, 'notifications/initialized');
    return message;
  }

  /** Sends one message, or several as a batch. Resolves when the headers are there, whatever the status. */
  post(url: string, message: JsonRpc | JsonRpc[], options?: SendOptions): Promise<RawResponse> {
    return this.send('POST', url, JSON.stringify(message), options);
  }

  /** Opens the standalone stream, or resumes the stream that the cursor names. */
  get(
    url: string,
    { lastEventId, ...options }: SendOptions & { lastEventId?: string } = {},
  ): Promise<RawResponse> {
    const headers = { 'last-event-id': lastEventId, ...options.headers };
    return this.send('GET', url, undefined, { ...options, headers });
  }

  /** Does the same as `get()`, but returns the stream. Throws `HttpError` if there is none. */
  async listen(url: string, options?: SendOptions & { lastEventId?: string }): Promise<SseReader> {
    return (await this.get(url, options)).sse;
  }

  delete(url: string, options?: SendOptions): Promise<RawResponse> {
    return this.send('DELETE', url, undefined, options);
  }

  /** Sends a request and resolves with its response, a JSON-RPC error included. Throws `HttpError` unless it is 200. */
  async request(
    url: string,
    method: string,
    params?: Record<string, unknown>,
    options?: SendOptions,
  ): Promise<JsonRpc> {
    const id = this.nextId();
    return (await this.post(url, request(id, method, params), options)).answer(id);
  }

  /** Sends a notification. Throws `HttpError` unless it is accepted. */
  async notify(url: string, method: string, params?: Record<string, unknown>): Promise<void> {
    (await this.post(url, notification(method, params))).expect(202);
  }

  /** Answers a request of the server. Throws `HttpError` unless the answer is accepted. */
  async respond(url: string, id: RequestId, result: Record<string, unknown>): Promise<void> {
    (await this.post(url, response(id, result))).expect(202);
  }

  /** Sends any HTTP request, with the headers that a client of this session sends. */
  async send(
    method: string,
    url: string,
    body?: string,
    options: SendOptions = {},
  ): Promise<RawResponse> {
    const headers = {
      accept: method === 'GET' ? 'text/event-stream' : 'application/json, text/event-stream',
      'content-type': body === undefined ? undefined : 'application/json',
      'content-length': body === undefined ? undefined : `${Buffer.byteLength(body)}`,
      'mcp-session-id': this.sessionId,
      'mcp-protocol-version': this.protocolVersion,
      ...this.#headers,
      ...options.headers,
    };
    const incoming = await this.#exchange(method, endpoint(url), headers, body, options.signal);
    const answer = await RawResponse.read(incoming);
    if (answer.stream !== undefined) {
      this.#open.add(answer.stream);
      incoming.once('close', () => this.#open.delete(answer.sse));
    }
    return answer;
  }

  /** Destroys all connections. The session goes on (see `delete()`). */
  close(): void {
    for (const stream of this.#open) stream.close();
    this.#agent.destroy();
  }

  #exchange(
    method: string,
    url: URL,
    headers: Headers,
    body: string | undefined,
    signal: AbortSignal | undefined,
  ): Promise<IncomingMessage> {
    const given = Object.entries(headers).filter(([, value]) => value !== undefined);
    const handler = handlerAt(url);
    if (handler !== undefined) {
      const init = { method, headers: Object.fromEntries(given) as Record<string, string> };
      return exchangeWithoutPort(handler, url, { ...init, body, signal });
    }
    return new Promise((resolve, reject) => {
      const outgoing = httpRequest(url, {
        method,
        headers: Object.fromEntries(given),
        agent: this.#agent,
        ...(signal && { signal }),
      });
      outgoing.once('response', resolve);
      // This listener stays, because an abort after the response is an error as well. The stream then reports its end.
      outgoing.on('error', reject);
      outgoing.end(body);
    });
  }
}

function endpoint(url: string): URL {
  const parsed = new URL(url);
  if (parsed.pathname === '/') parsed.pathname = '/mcp';
  return parsed;
}
