/** The failures between this library and a server that it reaches over HTTP, and the errors that clients get for them. */
import type { JsonRpcError, RequestId } from '../protocol/json/jsonrpc.js';
import { ErrorCode } from '../protocol/json/jsonrpc.js';
import type { HttpAnswer } from '../protocol/http-answer.js';

/**
 * The reasons for a failure:
 *
 * - `server_unreachable`: no connection could be made. Nothing has begun.
 * - `server_lost`: the connection broke after the message was sent, and could not be resumed. The outcome is unknown.
 * - `server_refused`: the HTTP status is not 2xx.
 * - `server_invalid`: the response does not follow the protocol.
 * - `server_oversized`: the response exceeds a bound, which the detail names.
 */
export type FailureReason =
  'server_unreachable' | 'server_lost' | 'server_refused' | 'server_invalid' | 'server_oversized';

const TEXTS: Record<FailureReason, string> = {
  server_unreachable: 'The server cannot be reached; the request was not sent',
  server_lost: 'The connection to the server broke before it answered',
  server_refused: 'The server refused the request',
  server_invalid: 'The server answered with something that is not MCP',
  server_oversized: 'The server sent more than this node takes',
};

export class Failure extends Error {
  constructor(
    readonly reason: FailureReason,
    /** A text for the log. Clients see it only with `server_oversized`, where it contains nothing from the server. */
    readonly detail: string,
    readonly refusal?: Refusal,
  ) {
    super(`${TEXTS[reason]}: ${detail}`);
  }
}

/** An HTTP response whose status is not 2xx. */
export interface Refusal {
  status: number;
  contentType: string | undefined;
  /** Headers that tell a client how to succeed later: `WWW-Authenticate` and `Retry-After`. */
  headers: Record<string, string>;
  /** The address of a redirect, without credentials and query. */
  location?: string;
  body: string;
  /** The JSON-RPC error in the body, if the body has one. */
  error: JsonRpcError['error'] | undefined;
}

/** Returns the error for a client's request: the server's own error, or else one of this library. */
export function errorOf(id: RequestId, why: unknown): JsonRpcError {
  const { reason, refusal, message } = failureOf(why);
  const status = refusal === undefined ? {} : { status: refusal.status };
  return {
    jsonrpc: '2.0',
    id,
    error: {
      code: refusal?.error?.code ?? ErrorCode.ConnectionClosed,
      message: refusal?.error?.message ?? (reason === 'server_oversized' ? message : TEXTS[reason]),
      data: { reason, ...status },
    },
  };
}

/**
 * If `initialize` got one of these statuses, a client would take the server for one that speaks only HTTP+SSE, and try that.
 */
const MISLEADING = new Set([404, 405]);
/**
 * These statuses mean that the server does not speak Streamable HTTP at this address, unless the body is a JSON-RPC error.
 */
const NO_ENDPOINT = new Set([400, 404, 405, 406, 410, 415]);

/**
 * Returns the error for `initialize`, with an HTTP response:
 *
 * - 503 if the server cannot be reached.
 * - The server's own response if it refused (a 401 starts the client's authorization).
 * - 502 for all other failures. If there seems to be no MCP endpoint, the text names the server's status.
 */
export function initializeError(
  id: RequestId,
  why: unknown,
): { answer: JsonRpcError; httpAnswer: HttpAnswer } {
  const failure = failureOf(why);
  const error = errorOf(id, failure);
  const mend = mendOf(failure);
  if (failure.refusal?.error === undefined && mend !== undefined) {
    error.error.message = `${TEXTS[failure.reason]}: ${mend}`;
  }
  return { answer: error, httpAnswer: httpAnswerOf(failure, error) };
}

/**
 * Returns a text that says why `initialize` failed and what to check. Returns `undefined` if there is nothing to add to the
 * failure or to the server's own text.
 */
export function mendOf({ reason, refusal }: Failure): string | undefined {
  if (reason === 'server_invalid') {
    return 'is it an MCP endpoint (Streamable HTTP)? Look at the path of the address';
  }
  if (refusal === undefined) return undefined;
  const { status, body } = refusal;
  if (isNoEndpoint(refusal)) {
    return `\`initialize\` was answered with status ${status}; is there an MCP endpoint (Streamable HTTP) at this path?`;
  }
  if (status >= 300 && status < 400) {
    return `\`initialize\` was answered with status ${status}; redirects are not followed`;
  }
  if (status < 500 && body === '') return `\`initialize\` was answered with status ${status}`;
  return undefined;
}

function isNoEndpoint({ status, error }: Refusal): boolean {
  return MISLEADING.has(status) || (NO_ENDPOINT.has(status) && error === undefined);
}

function httpAnswerOf({ reason, refusal }: Failure, error: JsonRpcError): HttpAnswer {
  const ours = { 'Content-Type': 'application/json' };
  const text = JSON.stringify(error);
  if (refusal !== undefined && refusal.status >= 400 && refusal.status < 500) {
    const { status, contentType, headers, body } = refusal;
    if (isNoEndpoint(refusal)) return { status: 502, headers: { ...headers, ...ours }, body: text };
    if (body === '') return { status, headers: { ...headers, ...ours }, body: text };
    return {
      status,
      headers: { ...headers, ...(contentType !== undefined && { 'Content-Type': contentType }) },
      body,
    };
  }
  const unreachable = reason === 'server_unreachable';
  return {
    status: unreachable ? 503 : 502,
    headers: { ...ours, ...(unreachable && { 'Retry-After': '1' }) },
    body: text,
  };
}

/**
 * True if the server has forgotten the session. It answers 404 (specification), or 400 like the many servers that keep
 * transports in a `Map` and treat an unknown id like a missing one. In both cases the message has not begun.
 */
export function hasForgotten(why: unknown): boolean {
  if (!(why instanceof Failure) || why.refusal === undefined) return false;
  const { status, error, body } = why.refusal;
  return status === 404 || (status === 400 && /session/i.test(error?.message ?? body));
}

/** True if the server has sent something that it must not send. */
export function breaksBounds(why: unknown): boolean {
  return (
    why instanceof Failure && (why.reason === 'server_oversized' || why.reason === 'server_invalid')
  );
}

export function failureOf(why: unknown): Failure {
  return why instanceof Failure ? why : new Failure('server_lost', String(why));
}
