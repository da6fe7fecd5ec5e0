import { randomUUID } from 'node:crypto';
import type { EventStore } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import type { RequestHandler } from 'express';
import { scriptedServer, type Tools } from './scripted-server.js';

export interface SdkOptions {
  tools?: Tools;
  eventStore?: () => EventStore;
  json?: boolean;
  maxRequestBodySize?: number;
}

/**
 * The SDK's own transport on one node, mounted the classic way: a map from session id to transport.
 *
 * What the map does not know is not answered by the app but by a transport, whose words are what is compared: a new one
 * where `?new` says that the request is to open a session, else the last one.
 */
export function sdkEndpoint(options: SdkOptions = {}): RequestHandler {
  const transports = new Map<string, StreamableHTTPServerTransport>();
  let last: StreamableHTTPServerTransport | undefined;

  const open = async (): Promise<StreamableHTTPServerTransport> => {
    const transport = new StreamableHTTPServerTransport({
      sessionIdGenerator: () => randomUUID(),
      onsessioninitialized: (id) => {
        transports.set(id, transport);
        last = transport;
      },
      enableJsonResponse: options.json ?? false,
      keepAliveMs: 0,
      ...(options.eventStore && { eventStore: options.eventStore() }),
      ...(options.maxRequestBodySize && { maxRequestBodySize: options.maxRequestBodySize }),
    });
    await scriptedServer(options.tools).connect(transport);
    return transport;
  };

  const handle: RequestHandler = async (req, res) => {
    const id = req.headers['mcp-session-id'];
    const known = typeof id === 'string' ? transports.get(id) : undefined;
    const transport = known ?? ('new' in req.query ? await open() : (last ?? (await open())));
    await transport.handleRequest(req, res, req.body);
  };
  return (req, res, next) => void Promise.resolve(handle(req, res, next)).catch(next);
}
