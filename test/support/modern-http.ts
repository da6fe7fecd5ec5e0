/** Requests of protocol revision 2026-07-28, as its clients send them. */
import { hasMethod, request, type RawClient, type SseReader } from './mcp-http.js';
import type { Headers, RawResponse, RequestId } from './mcp-http.js';

export const MODERN = '2026-07-28';

/** The `_meta` of each request. */
export const META = {
  'io.modelcontextprotocol/protocolVersion': MODERN,
  'io.modelcontextprotocol/clientInfo': { name: 'modern', version: '1' },
  'io.modelcontextprotocol/clientCapabilities': {},
};

export function modernHeaders(method: string, params: { name?: unknown } = {}): Headers {
  const { name } = params;
  return {
    'mcp-protocol-version': MODERN,
    'mcp-method': method,
    ...(typeof name === 'string' && { 'mcp-name': name }),
  };
}

/** Sends a request of this revision. Resolves when the headers are there, whatever the status. */
export function postModern(
  client: RawClient,
  url: string,
  id: RequestId,
  method: string,
  params: Record<string, unknown> = {},
  headers: Headers = {},
): Promise<RawResponse> {
  const { _meta, ...rest } = params as { _meta?: Record<string, unknown> };
  const message = request(id, method, { ...rest, _meta: { ...META, ..._meta } });
  return client.post(url, message, { headers: { ...modernHeaders(method, params), ...headers } });
}

/**
 * Subscribes to changes. Resolves when the server has acknowledged the subscription. Throws `HttpError` if the server
 * refuses it.
 */
export async function subscribe(
  client: RawClient,
  url: string,
  notifications: Record<string, unknown> = { toolsListChanged: true },
  id: RequestId = 'listen',
): Promise<SseReader> {
  const stream = (await postModern(client, url, id, 'subscriptions/listen', { notifications })).sse;
  await stream.next(hasMethod('notifications/subscriptions/acknowledged'));
  return stream;
}
