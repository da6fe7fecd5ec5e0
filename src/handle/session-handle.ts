import { STANDALONE } from '../backplane/backplane.js';
import { recognizeInAllCopies } from '../protocol/across-copies.js';
import { AnynodeError } from '../protocol/errors.js';
import type { JsonRpcMessage, JsonRpcResponse, Params } from '../protocol/json/jsonrpc.js';
import { isResponse } from '../protocol/json/jsonrpc.js';
import type { NodeContext } from '../stream/node-context.js';
import type { Asker, OutgoingRequests } from '../replica/requests/outgoing-requests.js';
import { deliverToFollower } from '../stream/followers/deliver-to-followers.js';
import { unheld } from '../protocol/unheld.js';

/** Checks a value and returns it typed. It is a schema of the SDK, of zod, or your own, and throws if the value is wrong. */
export interface ResultSchema<T> {
  parse(value: unknown): T;
}

/** Options of `session(id).request()`. */
export interface RequestOptions {
  /** How long the client may take to answer. After that, the request is cancelled. Default 60,000 ms. */
  timeout?: number;
  /** Cancels the request. */
  signal?: AbortSignal;
  /** Called for each `notifications/progress` of the client. Each call starts the timeout anew. */
  onprogress?: (progress: Record<string, unknown>) => void;
}

/** One session, whichever node it is on. The handle is for code outside of a call, such as a webhook. */
export interface SessionHandle {
  /**
   * Sends a notification on the session's standalone stream. If no GET is open, the notification waits in the log. The
   * promise resolves when it is stored, and rejects with `session_not_found` or `backplane_unavailable`.
   */
  notify(notification: { method: string; params?: Record<string, unknown> }): Promise<void>;
  /**
   * Sends a request to the client, and resolves with the client's answer as `resultSchema` returns it. It rejects with:
   *
   * - the error that the schema or `onprogress` threw;
   * - an `AnynodeError`: `request_timeout`, `session_not_found`, `backplane_unavailable` or `closed`;
   * - the signal's reason;
   * - a `ClientError`, if the client answered with an error.
   */
  request<T>(
    request: { method: string; params?: Record<string, unknown> },
    resultSchema: ResultSchema<T>,
    options?: RequestOptions,
  ): Promise<T>;
  /** State of your application: any JSON value. Every node can read it, and it lives as long as the session. */
  state: SessionState;
}

/** The state of one session. Every method may reject with `session_not_found` or `backplane_unavailable`. */
export interface SessionState {
  /** Returns the value, or `undefined` if it was never set. */
  get(): Promise<unknown>;
  /** Replaces the value. */
  set(value: unknown): Promise<void>;
  /** Replaces the value by the result of `fn`, atomically. If the value was changed meanwhile, `fn` is called again. */
  update<T>(fn: (value: unknown) => T | Promise<T>): Promise<T>;
}

/** The client answered a request with a JSON-RPC error. `instanceof` also recognizes those of another copy of this package. */
export class ClientError extends Error {
  static {
    recognizeInAllCopies(this, 'ClientError');
  }

  override readonly name = 'ClientError';
  constructor(
    readonly code: number,
    message: string,
    readonly data: unknown,
  ) {
    super(message);
  }
}

const DEFAULT_TIMEOUT_MS = 60_000;

export function sessionHandle(
  node: NodeContext,
  outgoingRequests: OutgoingRequests,
  sessionId: string,
): SessionHandle {
  return {
    notify: (notification) =>
      unheld(send(node, sessionId, { jsonrpc: '2.0', ...notification }, false), (error) => {
        const { method } = notification;
        node.logger.warn(`mcp-anynode: ${method} was not delivered: ${String(error)}`);
      }),
    request: (request, schema, options = {}) =>
      unheld(
        new Question(node, outgoingRequests, sessionId, request.method, options).ask(
          request.params,
          schema,
        ),
      ),
    state: sessionState(node, sessionId),
  };
}

async function send(
  { commitQueue, followers }: NodeContext,
  sessionId: string,
  message: object,
  asks: boolean,
): Promise<void> {
  const operation = {
    type: 'append' as const,
    stream: STANDALONE,
    message: JSON.stringify(message),
    asks,
  };
  const committed = await commitQueue.submit(sessionId, [operation]);
  if (committed === 'gone') throw notFound(sessionId);
  deliverToFollower(followers, sessionId, operation, committed.results[0]);
}

/** One request to the client that comes from code of the application instead of a replica. */
class Question implements Asker {
  private settle: (response: JsonRpcResponse) => void = () => undefined;
  private fail: (error: unknown) => void = () => undefined;
  private cancelTimer: () => void = () => undefined;
  private id = '';

  constructor(
    private readonly node: NodeContext,
    private readonly outgoingRequests: OutgoingRequests,
    readonly sessionId: string,
    private readonly method: string,
    private readonly options: RequestOptions,
  ) {}

  async ask<T>(params: Record<string, unknown> | undefined, schema: ResultSchema<T>): Promise<T> {
    const { outgoingRequests } = this;
    const { signal, onprogress } = this.options;
    signal?.throwIfAborted();
    const id = outgoingRequests.add(this, 0);
    this.id = id;
    const token = onprogress === undefined ? undefined : outgoingRequests.add(this, 0);
    const onAbort = (): void => this.giveUp(id, signal?.reason);
    signal?.addEventListener('abort', onAbort, { once: true });
    try {
      const answered = new Promise<JsonRpcResponse>((resolve, reject) => {
        this.settle = resolve;
        this.fail = reject;
      });
      answered.catch(() => undefined); // `send` may reject first
      this.startTimer(id);
      const plain = {
        jsonrpc: '2.0' as const,
        id,
        method: this.method,
        ...paramsOf(params, token),
      };
      const message = this.node.telemetry?.questionAsked(plain, this.sessionId) ?? plain;
      await send(this.node, this.sessionId, message, true);
      const response = await answered;
      if ('error' in response) {
        const { code, message: text, data } = response.error;
        throw new ClientError(code, text, data);
      }
      return schema.parse(response.result);
    } finally {
      this.cancelTimer();
      signal?.removeEventListener('abort', onAbort);
      outgoingRequests.remove(id);
      if (token !== undefined) outgoingRequests.remove(token);
    }
  }

  deliver(message: JsonRpcMessage): void {
    if (isResponse(message)) {
      this.settle(message);
    } else {
      const progress: Record<string, unknown> = { ...message.params };
      delete progress.progressToken;
      this.restartTimer();
      try {
        this.options.onprogress?.(progress);
      } catch (error) {
        this.giveUp(this.id, error); // `ask` rejects with the error of `onprogress`
      }
    }
  }

  private restartTimer: () => void = () => undefined;

  private startTimer(id: string): void {
    const timeout = this.options.timeout ?? DEFAULT_TIMEOUT_MS;
    this.restartTimer = () => {
      this.cancelTimer();
      this.cancelTimer = this.node.clock.after(timeout, () => {
        const text = `The client did not answer ${this.method} within ${timeout} ms`;
        this.giveUp(id, new AnynodeError('request_timeout', text));
      });
    };
    this.restartTimer();
  }

  /** Rejects with `reason`, and sends the client a cancellation. */
  private giveUp(requestId: string, reason: unknown): void {
    this.fail(reason);
    const params = { requestId, reason: String(reason) };
    const message = { jsonrpc: '2.0', method: 'notifications/cancelled', params };
    send(this.node, this.sessionId, message, false).catch(() => undefined); // without it, the client answers in vain
  }
}

function paramsOf(params: Record<string, unknown> | undefined, token: string | undefined) {
  if (token === undefined) return params === undefined ? {} : { params };
  const meta = (params as Params | undefined)?._meta;
  return { params: { ...params, _meta: { ...meta, progressToken: token } } };
}

function sessionState({ backplane, notices }: NodeContext, sessionId: string): SessionState {
  const gone = (): AnynodeError => {
    notices.ended(sessionId);
    return notFound(sessionId);
  };
  const load = async () => {
    const state = await backplane.loadState(sessionId);
    if (state === undefined) throw gone();
    const value: unknown = state.value === undefined ? undefined : JSON.parse(state.value);
    return { version: state.version, value };
  };
  const store = async (value: unknown, expected: string | undefined) => {
    const stored = await backplane.storeState(sessionId, jsonOf(value), expected);
    if (stored === 'gone') throw gone();
    return stored === 'stored';
  };
  const update: SessionState['update'] = async (fn) => {
    for (;;) {
      const { version, value } = await load();
      const next = await fn(value);
      if (await store(next, version)) return next;
    }
  };
  return {
    get: () => unheld(load().then(({ value }) => value)),
    set: (value) => unheld(store(value, undefined).then(() => undefined)),
    update: (fn) => unheld(update(fn)),
  };
}

function jsonOf(value: unknown): string {
  const text = JSON.stringify(value) as string | undefined;
  if (text === undefined) throw new TypeError('mcp-anynode: session state has to be a JSON value');
  return text;
}

function notFound(sessionId: string): AnynodeError {
  return new AnynodeError('session_not_found', `There is no session ${sessionId}`);
}
