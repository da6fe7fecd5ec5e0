import { RELEASED } from '../backplane/backplane.js';
import type { JsonRpcError, RequestId } from '../protocol/jsonrpc.js';
import { ErrorCode, errorResponse } from '../protocol/jsonrpc.js';

/**
 * What a client gets for a request whose node is gone. Whether it was carried out, nobody knows. `node`: the one that is
 * gone, if it is known; `RELEASED`: it has closed.
 */
export function nodeLost(id: RequestId, node: string | undefined): JsonRpcError {
  const closed = node === RELEASED;
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
  return errorResponse(id, ErrorCode.InternalError, 'Internal error');
}
