import type { EndpointResponse } from './endpoint-response.js';
import { ErrorCode } from '../../protocol/json/jsonrpc.js';
import { reply } from './response.js';

/** A refusal in the form of the SDK's transport: a JSON-RPC error without an id, and an HTTP status. */
export interface Refusal {
  status: number;
  code: number;
  message: string;
  headers?: Record<string, string>;
}

export function refuse(res: EndpointResponse, { status, code, message, headers }: Refusal): void {
  const body = JSON.stringify({ jsonrpc: '2.0', error: { code, message }, id: null });
  // The rest of the body may never arrive, so the connection ends after this response.
  if (status === REFUSALS.bodyTimeout.status) res.shouldKeepAlive = false;
  reply(res, status, { ...headers, 'Content-Type': 'application/json' }, body);
}

function refusal(status: number, message: string, code: number = ErrorCode.ConnectionClosed) {
  return { status, code, message };
}

/** A refusal because of a limit, where a later try may succeed. */
function later(message: string, seconds = 1) {
  const headers = { 'Retry-After': `${seconds}` };
  return { ...refusal(429, `Too Many Requests: ${message}`), headers };
}

/** The refusals, with the texts and numbers of the SDK's transport (v1 line, `webStandardStreamableHttp`). */
export const REFUSALS = {
  methodNotAllowed: {
    ...refusal(405, 'Method not allowed.'),
    headers: { Allow: 'GET, POST, DELETE' },
  },
  getNotAcceptable: refusal(406, 'Not Acceptable: Client must accept text/event-stream'),
  postNotAcceptable: refusal(
    406,
    'Not Acceptable: Client must accept both application/json and text/event-stream',
  ),
  mediaType: refusal(415, 'Unsupported Media Type: Content-Type must be application/json'),
  contentCoding: {
    ...refusal(
      415,
      'Unsupported Media Type: Content-Encoding must be gzip, deflate or br, if there is one',
    ),
    headers: { 'Accept-Encoding': 'gzip, deflate, br' },
  },
  undecodableBody: refusal(
    400,
    'Parse error: Body is not what its Content-Encoding says',
    ErrorCode.ParseError,
  ),
  invalidJson: refusal(400, 'Parse error: Invalid JSON', ErrorCode.ParseError),
  invalidMessage: refusal(400, 'Parse error: Invalid JSON-RPC message', ErrorCode.ParseError),
  alreadyInitialized: refusal(
    400,
    'Invalid Request: Server already initialized',
    ErrorCode.InvalidRequest,
  ),
  onlyOneInitialize: refusal(
    400,
    'Invalid Request: Only one initialization request is allowed',
    ErrorCode.InvalidRequest,
  ),
  duplicateRequest: refusal(
    400,
    'Invalid Request: Request ID is already in use by a running request',
    ErrorCode.InvalidRequest,
  ),
  idTooLong: refusal(
    400,
    'Invalid Request: Request ID must not exceed 1024 characters',
    ErrorCode.InvalidRequest,
  ),
  tooManyRequests: later('Too many requests of this session are running'),
  serverBehind: later('The server has not taken what this session sent before'),
  tooManyStreams: later('Too many streams of this session are open'),
  tooManySessions: later('Too many sessions', 60),
  tooManyPending: later('Too many sessions that were never initialized', 60),
  sessionIdRequired: refusal(400, 'Bad Request: Mcp-Session-Id header is required'),
  sessionIdParameter: refusal(400, 'Bad Request: Missing sessionId parameter'),
  sessionNotFound: refusal(404, 'Session not found', ErrorCode.SessionNotFound),
  conflict: refusal(409, 'Conflict: Only one SSE stream is allowed per session'),
  invalidEventId: refusal(400, 'Invalid event ID format'),
  eventsTrimmed: refusal(400, 'Bad Request: Events after Last-Event-ID are no longer available'),
  failed: refusal(500, 'Internal error', ErrorCode.InternalError),
  bodyTimeout: refusal(408, 'Request Timeout: The request body did not come in time'),
  bodiesInFlight: {
    ...refusal(503, 'Service Unavailable: Too many request bodies are being read'),
    headers: { 'Retry-After': '1' },
  },
  unavailable: {
    ...refusal(503, 'Service Unavailable: The session store cannot be reached'),
    headers: { 'Retry-After': '1' },
  },
  undecodable: {
    ...refusal(503, 'Service Unavailable: This node cannot read the session'),
    headers: { 'Retry-After': '1' },
  },
  auditFull: {
    ...refusal(503, 'Service Unavailable: The audit trail cannot be written'),
    headers: { 'Retry-After': '5' },
  },
  closed: {
    ...refusal(503, 'Service Unavailable: The server is shutting down'),
    headers: { 'Retry-After': '1' },
  },
} satisfies Record<string, Refusal>;

const NAMES = new Map<Refusal, string>(
  Object.entries(REFUSALS).map(([name, refusal]) => [
    refusal,
    name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
  ]),
);

/** Returns the labels with which a refusal is counted. A refusal whose text has a number in it goes by its status. */
export function labelsOf(refusal: Refusal): { limit: string; status: string } {
  const other = refusal.status === 413 ? 'body_too_large' : 'invalid_message';
  return { limit: NAMES.get(refusal) ?? other, status: `${refusal.status}` };
}

export function bodyTooLarge(maxBytes: number): Refusal {
  return refusal(413, `Payload Too Large: Request body must not exceed ${maxBytes} bytes`);
}

export function handshakeTooLarge(maxBytes: number): Refusal {
  return refusal(
    413,
    `Payload Too Large: Without a session, or with initialize, a request body must not exceed ${maxBytes} bytes`,
  );
}

export function batchTooLarge(most: number): Refusal {
  return refusal(
    400,
    `Invalid Request: Batch must not exceed ${most} messages`,
    ErrorCode.InvalidRequest,
  );
}

export function messageTooLarge(most: number): Refusal {
  const message = `Invalid Request: A message must not exceed ${most} bytes`;
  return refusal(400, message, ErrorCode.InvalidRequest);
}

export function messageTooDeep(most: number): Refusal {
  const message = `Invalid Request: A message must not be nested deeper than ${most}`;
  return refusal(400, message, ErrorCode.InvalidRequest);
}

export function tooManyValues(most: number): Refusal {
  const message = `Invalid Request: A message must not have more than ${most} values`;
  return refusal(400, message, ErrorCode.InvalidRequest);
}

export function unsupportedVersion(version: string, supported: readonly string[]): Refusal {
  return refusal(
    400,
    `Bad Request: Unsupported protocol version: ${version} (supported versions: ${supported.join(', ')})`,
  );
}

/** Thrown when a request is refused. `serving` in `endpoint.ts` answers it. */
export class RefusalError extends Error {
  constructor(readonly refusal: Refusal) {
    super(refusal.message);
  }
}
