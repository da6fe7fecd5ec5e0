import type { NoteOperation } from '../../backplane/backplane.js';
import { formerExecutor, RELEASED } from '../../backplane/backplane.js';
import type {
  JsonRpcError,
  JsonRpcNotification,
  JsonRpcRequest,
  JsonRpcResponse,
  RequestId,
} from '../../protocol/json/jsonrpc.js';
import { ErrorCode, errorResponse } from '../../protocol/json/jsonrpc.js';
import { isShownOnStandalone } from '../../stream/shown-on.js';
import type { NodeContext } from '../../stream/node-context.js';

/**
 * The error for a request whose node is dead or was closed. It is unknown whether the request was carried out. `executor` is
 * the executor that the backplane named for the stream, if it is known.
 */
export function nodeLost(id: RequestId, executor: string | undefined): JsonRpcError {
  const closed = executor === RELEASED;
  const node = executor && formerExecutor(executor);
  return {
    jsonrpc: '2.0',
    id,
    error: {
      code: ErrorCode.ConnectionClosed,
      message: closed
        ? 'The node that ran this request was closed'
        : 'The node that ran this request is gone',
      data: closed
        ? { reason: 'node_closed' }
        : { reason: 'node_lost', ...(node !== undefined && { node }) },
    },
  };
}

/** The error for a request that still ran when `drainMs` of its closing node was over. */
export function nodeClosed(id: RequestId): JsonRpcError {
  return nodeLost(id, RELEASED);
}

/** The error for a request that was carried out, but whose answer a failover has lost (see docs/guarantees.md). */
export function answerLost(id: RequestId): JsonRpcError {
  return {
    jsonrpc: '2.0',
    id,
    error: {
      code: ErrorCode.ConnectionClosed,
      message: 'The answer to this request was lost',
      data: { reason: 'answer_lost' },
    },
  };
}

/** A fresh server answered the replayed `initialize` with an error. The client whose request needed it gets that error. */
export class ReplayRefused extends Error {
  constructor(readonly error: JsonRpcError['error']) {
    super(error.message);
  }
}

/** The error for a request that did not run, because no replica could be built. */
export function notBuilt(id: RequestId, why: unknown): JsonRpcError {
  if (why instanceof ReplayRefused) return { jsonrpc: '2.0', id, error: why.error };
  return internalError(id);
}

/** The error for a request whose server has closed its connection. */
export function serverClosed(id: RequestId): JsonRpcError {
  return errorResponse(id, ErrorCode.ConnectionClosed, 'Connection closed');
}

/** The error for a request that no node can run, or whose answer cannot be shown. */
export function internalError(id: RequestId): JsonRpcError {
  return errorResponse(id, ErrorCode.InternalError, 'Internal error');
}

/** Writes an answer as JSON. If that fails (a `bigint`, a cycle, deep nesting), the client gets an error instead. */
export function serialized(
  { logger }: Pick<NodeContext, 'logger'>,
  { id, method }: JsonRpcRequest,
  response: JsonRpcResponse | undefined,
): { response: JsonRpcResponse | undefined; message: string | undefined } {
  try {
    return { response, message: response && JSON.stringify(response) };
  } catch (error) {
    logger.error(`mcp-anynode: the answer to ${method} is no JSON: ${String(error)}`);
    const failure = internalError(id);
    return { response: failure, message: JSON.stringify(failure) };
  }
}

/** Returns the answer to a request that its client has cancelled: none on an event stream, and an error in JSON mode. */
export function answerToCancelled(
  { settings: { responseMode } }: Pick<NodeContext, 'settings'>,
  id: RequestId,
  stream: string,
): JsonRpcResponse | undefined {
  if (responseMode === 'sse' || isShownOnStandalone(stream)) return undefined;
  return errorResponse(id, ErrorCode.ConnectionClosed, 'Request cancelled');
}

/** Returns the note for the commit that ends a request with one of these errors. `from` is the node that ran the request. */
export function failed(id: RequestId, stream: string, from: string | undefined): NoteOperation {
  return { ...note('request.failed', id, stream, from), ifAppended: true };
}

/** Returns the note for a request that runs again. */
export function recovered(id: RequestId, stream: string, from: string | undefined): NoteOperation {
  return note('request.recovered', id, stream, from);
}

function note(
  kind: NoteOperation['kind'],
  id: RequestId,
  stream: string,
  from: string | undefined,
): NoteOperation {
  const node = from && formerExecutor(from);
  return { type: 'note', kind, stream, request: JSON.stringify(id), from: node };
}

/** Returns the message that stops a request which another node runs now. */
export function takenOver(requestId: RequestId): JsonRpcNotification {
  const params = { requestId, reason: 'Another node has taken the request over' };
  return { jsonrpc: '2.0', method: 'notifications/cancelled', params };
}
