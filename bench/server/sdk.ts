import { randomUUID } from 'node:crypto';
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import type { EventStore } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import type { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { isInitializeRequest } from '@modelcontextprotocol/sdk/types.js';
import express, { type Express } from 'express';
import { Redis } from 'ioredis';
import { InMemoryEventStore } from '../../demo/event-store.js';
import { buildServer } from './build-server.js';
import type { Mounted, NodeSettings } from './contestants.js';
import { RedisEventStore } from './redis-event-store.js';

interface Session {
  transport: StreamableHTTPServerTransport;
  server: McpServer;
}

/** Mounts the SDK's transport as its documentation shows it, with the sessions in a map of this process. */
export function mountSdk(settings: NodeSettings, redisUrl: string): Mounted {
  const sessions = new Map<string, Session>();
  const storeFor = eventStores(settings, redisUrl);

  const open = async (): Promise<Session> => {
    const store = storeFor();
    const transport = new StreamableHTTPServerTransport({
      sessionIdGenerator: () => randomUUID(),
      onsessioninitialized: (id) => void sessions.set(id, { transport, server }),
      ...(store !== undefined && { eventStore: store }),
      enableJsonResponse: settings.responseMode === 'json',
    });
    transport.onclose = () => {
      if (transport.sessionId !== undefined) sessions.delete(transport.sessionId);
      if (store instanceof RedisEventStore) void store.clear();
    };
    const server = buildServer();
    await server.connect(transport);
    return { transport, server };
  };

  const serve = async (req: IncomingMessage, res: ServerResponse, body: unknown): Promise<void> => {
    const id = req.headers['mcp-session-id'];
    let session = typeof id === 'string' ? sessions.get(id) : undefined;
    if (session === undefined && id === undefined && isInitializeRequest(body)) {
      session = await open();
    }
    if (session === undefined) {
      const error = { code: -32000, message: 'Bad Request: No valid session ID provided' };
      res.writeHead(400).end(JSON.stringify({ jsonrpc: '2.0', error, id: null }));
      return;
    }
    await session.transport.handleRequest(req, res, body);
  };

  return {
    listener: settings.mount === 'plain' ? plain(serve) : inExpress(serve),
    notify: async (id, notification) => {
      await sessions.get(id)?.server.server.notification(notification);
    },
    announce: async () => {
      await Promise.all(
        Array.from(sessions.values(), ({ server }) => server.server.sendToolListChanged()),
      );
    },
    replicas: () => sessions.size,
  };
}

type Serve = (req: IncomingMessage, res: ServerResponse, body: unknown) => Promise<void>;

function inExpress(serve: Serve): Express {
  const app = express().use(express.json());
  return app.all('/mcp', (req, res) => serve(req, res, req.body));
}

function plain(serve: Serve): RequestListener {
  return (req, res) => {
    const chunks: Buffer[] = [];
    req.on('data', (chunk: Buffer) => void chunks.push(chunk));
    req.on('end', () => {
      const text = Buffer.concat(chunks).toString();
      void serve(req, res, text === '' ? undefined : JSON.parse(text));
    });
  };
}

/**
 * Returns a function that makes an event store for a session. With a shared store, a session could resume the GET stream of
 * another session.
 */
function eventStores({ contestant }: NodeSettings, redisUrl: string): () => EventStore | undefined {
  if (contestant === 'sdk-memory-store') return () => new InMemoryEventStore();
  if (contestant !== 'sdk-redis-store') return () => undefined;
  const redis = new Redis(redisUrl, { enableAutoPipelining: true });
  return () => new RedisEventStore(redis, `sdk:${randomUUID()}`);
}
