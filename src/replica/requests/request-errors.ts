import type { NoteOperation } from '../../backplane/backplane.js';
import { formerExecutor, RELEASED } from '../../backplane/backplane.js';
import type {
  JsonRpcError,
  JsonRpcRequest,
  JsonRpcResponse,
  RequestId,
} from '../../protocol/jsonrpc.js';
import { ErrorCode, errorResponse } from '../../protocol/jsonrpc.js';
import { isShownOnStandalone } from '../../stream/shown-on.js';
import type { NodeContext } from '../../stream/node-context.js';

/**
 * What a client gets for a request whose node is gone. Whether it was carried out, nobody knows. `executor`: what the
 * backplane named as the stream's executor, if it is known.
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

/** Of a request that still ran when its node's time to drain was over. */
export function nodeClosed(id: RequestId): JsonRpcError {
  return nodeLost(id, RELEASED);
}

/** Of a request that was carried out, whose answer the backplane has lost (see docs/guarantees.md). */
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

/** The server refused to be told again what its session is: why is for the client, whose request needed it. */
export class ReplayRefused extends Error {
  constructor(readonly error: JsonRpcError['error']) {
    super(error.message);
  }
}

/** Of a request that was not begun, since there was no server to run it. */
export function notBuilt(id: RequestId, why: unknown): JsonRpcError {
  if (why instanceof ReplayRefused) return { jsonrpc: '2.0', id, error: why.error };
  return internalError(id);
}

/** Of a request that nobody can run, or whose answer nobody can show. */
export function internalError(id: RequestId): JsonRpcError {
  return errorResponse(id, ErrorCode.InternalError, 'Internal error');
}

/** An answer that is no JSON (a `bigint`, a cycle, too deep) becomes an error: its client must not wait for ever. */
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

/** The end of a request that its client has given up. Of a JSON response there has to be one. */
export function answerToCancelled(
  { settings: { responseMode } }: Pick<NodeContext, 'settings'>,
  id: RequestId,
  stream: string,
): JsonRpcResponse | undefined {
  if (responseMode === 'sse' || isShownOnStandalone(stream)) return undefined;
  return errorResponse(id, ErrorCode.ConnectionClosed, 'Request cancelled');
}

/** For the commit that ends a request with one of these errors. `from`: the node that had run it. */
export function failed(id: RequestId, stream: string, from: string | undefined): NoteOperation {
  return { ...note('request.failed', id, stream, from), ifAppended: true };
}

/** For a request that is run again. */
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
