/** An answer to `initialize` that says over HTTP, too, that there is no session. */
import type { JsonRpcError, JsonRpcResponse } from '../../protocol/jsonrpc.js';

export interface HttpAnswer {
  status: number;
  headers: Record<string, string>;
  body: string;
}

/** No server can send it by accident: it is not in the JSON. */
const HTTP = Symbol('HTTP answer');

export function answeringWith(error: JsonRpcError, http: HttpAnswer): JsonRpcError {
  return { ...error, [HTTP]: http } as JsonRpcError;
}

/** `undefined`: 200 and the answer, as for a server of the SDK. */
export function httpAnswerOf(answer: JsonRpcResponse): HttpAnswer | undefined {
  return (answer as { [HTTP]?: HttpAnswer })[HTTP];
}
