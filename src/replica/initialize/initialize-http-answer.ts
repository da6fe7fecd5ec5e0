/** An error answer to `initialize` that also sets the status, the headers and the body of the HTTP response. */
import type { JsonRpcError, JsonRpcResponse } from '../../protocol/jsonrpc.js';

export interface HttpAnswer {
  status: number;
  headers: Record<string, string>;
  body: string;
}

/** The key is a symbol, so that no server can set it with JSON. */
const HTTP = Symbol('HTTP answer');

export function answeringWith(error: JsonRpcError, http: HttpAnswer): JsonRpcError {
  return { ...error, [HTTP]: http } as JsonRpcError;
}

/** Returns `undefined` if the response is 200 with the answer, as for a server of the SDK. */
export function httpAnswerOf(answer: JsonRpcResponse): HttpAnswer | undefined {
  return (answer as { [HTTP]?: HttpAnswer })[HTTP];
}
