import { randomUUID } from 'node:crypto';
import type { Server } from '@modelcontextprotocol/sdk/server/index.js';
import type { EventStore } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import express from 'express';
import { scriptedServer, type Tools } from './scripted-server.js';

export interface MapOptions {
  tools?: Tools;
  json?: boolean;
  eventStore?: () => EventStore;
  /** What a request with an id that is not in the map gets. The documentation of the SDK has 400. */
  unknown?: 404 | 400;
  /** When a session's client is initialized. */
  welcome?: (server: Server) => void;
}

/** A handler as most servers have it: transports of the SDK in a map of this process, by session id. */
export function mapEndpoint(options: MapOptions = {}): {
  handler: express.Router;
  transports: Map<string, StreamableHTTPServerTransport>;
} {
  const transports = new Map<string, StreamableHTTPServerTransport>();
  const { unknown = 404 } = options;

  const open = async (): Promise<StreamableHTTPServerTransport> => {
    const transport: StreamableHTTPServerTransport = new StreamableHTTPServerTransport({
      sessionIdGenerator: () => randomUUID(),
      onsessioninitialized: (id) => void transports.set(id, transport),
      onsessionclosed: (id) => void transports.delete(id),
      enableJsonResponse: options.json ?? false,
      keepAliveMs: 0,
      ...(options.eventStore && { eventStore: options.eventStore(), retryInterval: 100 }),
    });
    const server = scriptedServer(options.tools);
    server.oninitialized = () => options.welcome?.(server);
    await server.connect(transport);
    return transport;
  };

  const handler = express.Router();
  handler.use(express.json());
  handler.all('/', async (req, res) => {
    const id = req.header('mcp-session-id');
    const known = id === undefined ? await open() : transports.get(id);
    if (known !== undefined) {
      await known.handleRequest(req, res, req.body);
      return;
    }
    const error =
      unknown === 404
        ? { code: -32001, message: 'Session not found' }
        : { code: -32000, message: 'Bad Request: No valid session ID provided' };
    res.status(unknown).json({ jsonrpc: '2.0', error, id: null });
  });
  return { handler, transports };
}
