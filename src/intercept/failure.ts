/** What can go wrong between this library and a server that it reaches over HTTP, and what the client hears of it. */
import type { JsonRpcError, RequestId } from '../protocol/jsonrpc.js';
import { ErrorCode } from '../protocol/jsonrpc.js';
import type { HttpAnswer } from '../replica/initialize/initialize-http-answer.js';
import { answeringWith } from '../replica/initialize/initialize-http-answer.js';

/**
 * - `server_unreachable`: no connection could be made. Nothing has begun.
 * - `server_lost`: the connection broke after the message was sent, and could not be resumed. What became of it, nobody
 *   knows.
 * - `server_refused`: an HTTP status that is none of success.
 * - `server_invalid`: what came back is not what the protocol says.
 * - `server_oversized`: what came back exceeds a bound, which the detail names.
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
    /** For the log. Clients are shown that of `server_oversized` only, which says nothing that the server has said. */
    readonly detail: string,
    readonly refusal?: Refusal,
  ) {
    super(`${TEXTS[reason]}: ${detail}`);
  }
}

/** An HTTP response that is no success. */
export interface Refusal {
  status: number;
  contentType: string | undefined;
  /** Headers that a client needs to do better. */
  headers: Record<string, string>;
  /** Of a redirect, without credentials and query. */
  location?: string;
  body: string;
  /** The JSON-RPC error in the body, if that is one. */
  error: JsonRpcError['error'] | undefined;
}

/** What a client gets for a request: the server's own error, if it sent one, else ours. */
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

/** A client takes such an answer to `initialize` for a server of HTTP+SSE, and goes on with that. */
const MISLEADING = new Set([404, 405]);
/** The server does not speak Streamable HTTP at that address, unless its answer is one of JSON-RPC. */
const NO_ENDPOINT = new Set([400, 404, 405, 406, 410, 415]);

/**
 * The answer to `initialize`, which is one of HTTP as well: 503 where the server cannot be reached, what the server
 * itself has said where it refused (a 401 starts the client's authorization), else 502. A refusal that looks as if there
 * were no MCP endpoint says so, with its status, as 502.
 */
export function initializeError(id: RequestId, why: unknown): JsonRpcError {
  const failure = failureOf(why);
  const error = errorOf(id, failure);
  const mend = mendOf(failure);
  if (failure.refusal?.error === undefined && mend !== undefined) {
    error.error.message = `${TEXTS[failure.reason]}: ${mend}`;
  }
  return answeringWith(error, httpAnswerOf(failure, error));
}

/** What is wrong with a refused `initialize`, and what to look at. `undefined`: the server says it itself. */
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
 * Whether the server has forgotten the session: 404, as the specification has it, or the 400 of the many servers that
 * keep transports in a `Map` and take an id that they do not know for none. Either way the message has not begun.
 */
export function hasForgotten(why: unknown): boolean {
  if (!(why instanceof Failure) || why.refusal === undefined) return false;
  const { status, error, body } = why.refusal;
  return status === 404 || (status === 400 && /session/i.test(error?.message ?? body));
}

/** Whether the server has sent what it must not send, as opposed to nothing. */
export function breaksBounds(why: unknown): boolean {
  return (
    why instanceof Failure && (why.reason === 'server_oversized' || why.reason === 'server_invalid')
  );
}

export function failureOf(why: unknown): Failure {
  return why instanceof Failure ? why : new Failure('server_lost', String(why));
}
