export type RequestId = string | number;

/** Any JSON-RPC message. The test decides which members it has. */
export interface JsonRpc {
  jsonrpc: '2.0';
  id?: RequestId | null;
  method?: string;
  params?: Record<string, unknown>;
  result?: Record<string, unknown>;
  error?: { code: number; message: string; data?: unknown };
}

export function request(id: RequestId, method: string, params?: Record<string, unknown>): JsonRpc {
  return { jsonrpc: '2.0', id, method, ...(params && { params }) };
}

export function notification(method: string, params?: Record<string, unknown>): JsonRpc {
  return { jsonrpc: '2.0', method, ...(params && { params }) };
}

/** Makes the client's answer to a request of the server. */
export function response(id: RequestId, result: Record<string, unknown>): JsonRpc {
  return { jsonrpc: '2.0', id, result };
}
