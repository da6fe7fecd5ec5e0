/**
 * JSON-RPC 2.0 messages as MCP uses them.
 *
 * The library has its own types, and does not import the SDK. The checks accept and refuse exactly what
 * the SDK's `JSONRPCMessageSchema` accepts and refuses. A test compares the two.
 */

export type RequestId = string | number;

export interface JsonRpcRequest {
  jsonrpc: '2.0';
  id: RequestId;
  method: string;
  params?: Params;
}

export interface JsonRpcNotification {
  jsonrpc: '2.0';
  method: string;
  params?: Params;
}

export interface JsonRpcResult {
  jsonrpc: '2.0';
  id: RequestId;
  result: Record<string, unknown>;
}

export interface JsonRpcError {
  jsonrpc: '2.0';
  id?: RequestId;
  error: { code: number; message: string; data?: unknown };
}

export type JsonRpcResponse = JsonRpcResult | JsonRpcError;
export type JsonRpcMessage = JsonRpcRequest | JsonRpcNotification | JsonRpcResponse;

export interface Params extends Record<string, unknown> {
  _meta?: Record<string, unknown> & { progressToken?: RequestId };
}

/** The JSON-RPC and MCP error numbers that this library sends by itself. */
export const ErrorCode = {
  ParseError: -32700,
  InvalidRequest: -32600,
  InternalError: -32603,
  /** For refusals at the HTTP level, and for requests that end without a result, as in the SDK's transport. */
  ConnectionClosed: -32000,
  SessionNotFound: -32001,
} as const;

export function isRequest(message: JsonRpcMessage): message is JsonRpcRequest {
  return 'method' in message && 'id' in message;
}

export function isNotification(message: JsonRpcMessage): message is JsonRpcNotification {
  return 'method' in message && !('id' in message);
}

export function isResponse(message: JsonRpcMessage): message is JsonRpcResponse {
  return !('method' in message);
}

/** True if a request has failed: with a JSON-RPC error, or with the result of a tool that has `isError`. */
export function isFailure(response: JsonRpcResponse): boolean {
  return 'error' in response || (isObject(response.result) && response.result.isError === true);
}

export function errorResponse(id: RequestId, code: number, message: string): JsonRpcError {
  return { jsonrpc: '2.0', id, error: { code, message } };
}

const RELATED_TASK = 'io.modelcontextprotocol/related-task';

/** True if `value` is one JSON-RPC message that MCP allows. Checks the frame only, not the params of a method. */
export function isMessage(value: unknown): value is JsonRpcMessage {
  if (!isObject(value) || value.jsonrpc !== '2.0') return false;
  if ('method' in value) {
    if (typeof value.method !== 'string') return false;
    if ('id' in value && !isRequestId(value.id)) return false;
    return (
      hasOnly(value, 'id' in value ? REQUEST_KEYS : NOTIFICATION_KEYS) &&
      (value.params === undefined || isParams(value.params))
    );
  }
  if ('result' in value) {
    return hasOnly(value, RESULT_KEYS) && isRequestId(value.id) && isParams(value.result);
  }
  return (
    hasOnly(value, ERROR_KEYS) &&
    (value.id === undefined || isRequestId(value.id)) &&
    isObject(value.error) &&
    Number.isSafeInteger(value.error.code) &&
    typeof value.error.message === 'string'
  );
}

const REQUEST_KEYS = new Set(['jsonrpc', 'id', 'method', 'params']);
const NOTIFICATION_KEYS = new Set(['jsonrpc', 'method', 'params']);
const RESULT_KEYS = new Set(['jsonrpc', 'id', 'result']);
const ERROR_KEYS = new Set(['jsonrpc', 'id', 'error']);

function hasOnly(value: Record<string, unknown>, keys: ReadonlySet<string>): boolean {
  for (const key in value) if (!keys.has(key)) return false;
  return true;
}

/** Checks `params` or `result`: it is an object, and the two fields of `_meta` that MCP defines have the right type. */
function isParams(value: unknown): boolean {
  if (!isObject(value)) return false;
  const meta = value._meta;
  if (meta === undefined) return true;
  if (!isObject(meta)) return false;
  const token = meta.progressToken;
  if (token !== undefined && !isRequestId(token)) return false;
  const task = meta[RELATED_TASK];
  return task === undefined || (isObject(task) && typeof task.taskId === 'string');
}

function isRequestId(value: unknown): value is RequestId {
  return typeof value === 'string' || (typeof value === 'number' && Number.isSafeInteger(value));
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** True if a message is the notification with which a client ends its handshake. */
export function isInitialized(message: JsonRpcMessage): boolean {
  return isNotification(message) && message.method === 'notifications/initialized';
}
