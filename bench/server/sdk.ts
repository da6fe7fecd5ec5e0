import { randomUUID } from 'node:crypto';
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

/** The SDK's transport as its documentation shows it: sessions in a map of this process. */
export function mountSdk(app: Express, settings: NodeSettings, redisUrl: string): Mounted {
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

  app.use(express.json());
  app.all('/mcp', async (req, res) => {
    const id = req.headers['mcp-session-id'];
    let session = typeof id === 'string' ? sessions.get(id) : undefined;
    if (session === undefined && id === undefined && isInitializeRequest(req.body)) {
      session = await open();
    }
    if (session === undefined) {
      const error = { code: -32000, message: 'Bad Request: No valid session ID provided' };
      res.status(400).json({ jsonrpc: '2.0', error, id: null });
      return;
    }
    await session.transport.handleRequest(req, res, req.body);
  });

  return {
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

/** Each session has its own: with a shared one, a session can resume another's GET stream. */
function eventStores({ contestant }: NodeSettings, redisUrl: string): () => EventStore | undefined {
  if (contestant === 'sdk-memory-store') return () => new InMemoryEventStore();
  if (contestant !== 'sdk-redis-store') return () => undefined;
  const redis = new Redis(redisUrl, { enableAutoPipelining: true });
  return () => new RedisEventStore(redis, `sdk:${randomUUID()}`);
}
