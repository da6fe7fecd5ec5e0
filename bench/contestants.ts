/** The servers that are compared. Each runs in a process of its own (`node-process.ts`). */
import { randomUUID } from 'node:crypto';
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import express from 'express';
import type { Express } from 'express';
import { z } from 'zod';
import { anynode } from '../src/index.js';

export const CONTESTANTS = ['sdk', 'memory', 'redis'] as const;
export type Contestant = (typeof CONTESTANTS)[number];

/** The same server for all: one tool that answers at once. */
function buildServer(): McpServer {
  const server = new McpServer({ name: 'bench', version: '1.0.0' });
  server.registerTool('echo', { inputSchema: { text: z.string() } }, ({ text }) => ({
    content: [{ type: 'text', text }],
  }));
  return server;
}

export function appOf(contestant: Contestant, redis: string | undefined): Express {
  const app = express();
  if (contestant === 'sdk') {
    mountSdk(app);
  } else {
    const withRedis = contestant === 'redis' && redis !== undefined;
    app.use('/mcp', anynode({ server: buildServer, ...(withRedis && { redis, prefix: 'bench' }) }));
  }
  return app;
}

/** The SDK's transport as its documentation shows it: sessions in a map of this process. */
function mountSdk(app: Express): void {
  const transports = new Map<string, StreamableHTTPServerTransport>();
  app.use(express.json());
  app.post('/mcp', async (req, res) => {
    const known = transports.get(String(req.headers['mcp-session-id']));
    const transport = known ?? (await newTransport(transports));
    await transport.handleRequest(req, res, req.body);
  });
}

async function newTransport(
  transports: Map<string, StreamableHTTPServerTransport>,
): Promise<StreamableHTTPServerTransport> {
  const transport: StreamableHTTPServerTransport = new StreamableHTTPServerTransport({
    sessionIdGenerator: () => randomUUID(),
    onsessioninitialized: (id) => void transports.set(id, transport),
  });
  await buildServer().connect(transport);
  return transport;
}
