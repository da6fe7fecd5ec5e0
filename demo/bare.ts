import { randomUUID } from 'node:crypto';
import { localhostHostValidation } from '@modelcontextprotocol/sdk/server/middleware/hostHeaderValidation.js';
import type { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import { isInitializeRequest } from '@modelcontextprotocol/sdk/types.js';
import express, { type Router } from 'express';
import { InMemoryEventStore } from './event-store.js';

export interface BareOptions {
  server: () => McpServer;
  /** Goes into `X-Anynode-Node`, so that a timeline can name the process here too. */
  name: string;
  /** Without it the SDK resumes no stream at all. Each session has its own, in this process. */
  eventStore?: boolean;
  retryMs?: number;
}

/**
 * The plain SDK transport as most servers mount it: one transport per session, in a `Map` of this process.
 *
 * It is what the middleware is measured against. One process of it is a correct server; a second one behind the
 * same balancer knows nothing of the sessions of the first.
 */
export function bare(options: BareOptions): Router {
  const transports = new Map<string, StreamableHTTPServerTransport>();

  const open = async (): Promise<StreamableHTTPServerTransport> => {
    const transport = new StreamableHTTPServerTransport({
      sessionIdGenerator: () => randomUUID(),
      onsessioninitialized: (id) => void transports.set(id, transport),
      ...(options.eventStore && { eventStore: new InMemoryEventStore() }),
      ...(options.retryMs !== undefined && { retryInterval: options.retryMs }),
    });
    transport.onclose = () => {
      if (transport.sessionId !== undefined) transports.delete(transport.sessionId);
    };

    await options.server().connect(transport);
    return transport;
  };

  const refuse = (res: express.Response, status: number, code: number, message: string): void => {
    res.status(status).json({ jsonrpc: '2.0', error: { code, message }, id: null });
  };

  const router = express.Router();
  router.use((_req, res, next) => {
    res.setHeader('X-Anynode-Node', options.name);
    next();
  });
  router.use(localhostHostValidation(), express.json());
  router.all('/', async (req, res) => {
    const id = req.header('mcp-session-id');
    let transport = id === undefined ? undefined : transports.get(id);
    if (id !== undefined && transport === undefined) {
      refuse(res, 404, -32001, 'Session not found');
      return;
    }
    if (transport === undefined && !isInitializeRequest(req.body)) {
      refuse(res, 400, -32000, 'Bad Request: No valid session ID provided');
      return;
    }
    transport ??= await open();
    await transport.handleRequest(req, res, req.body);
  });
  return router;
}
