/** The process of a node of `hostile-streams.ts`. `SOURCE` names the checkout whose middleware it runs. */
import type { AddressInfo } from 'node:net';
import { pathToFileURL } from 'node:url';
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import express from 'express';
import { z } from 'zod';
import { serveParent } from '../test/rig/child.js';
import type * as Anynode from '../src/index.js';

const entry = pathToFileURL(`${process.env.SOURCE ?? '.'}/src/index.ts`).href;
const { anynode } = (await import(entry)) as typeof Anynode;

function buildServer(): McpServer {
  const server = new McpServer(
    { name: 'bench', version: '1.0.0' },
    { capabilities: { logging: {} } },
  );
  server.registerTool('echo', { inputSchema: { text: z.string() } }, ({ text }) => ({
    content: [{ type: 'text', text }],
  }));
  server.registerTool('large', {}, () => ({
    content: [{ type: 'text', text: 'y'.repeat(1_000_000) }],
  }));
  server.registerTool('announce', {}, async () => {
    const params = { level: 'info', data: 'x' };
    await server.server.notification({ method: 'notifications/message', params });
    return { content: [] };
  });
  return server;
}

const mcp = anynode({ server: buildServer, redis: process.env.REDIS_URL });
await mcp.ready();
const server = express()
  .use('/mcp', mcp)
  .listen(0, '127.0.0.1', () => {
    serveParent({ port: (server.address() as AddressInfo).port });
  });
// The clients of the benchmark may wait for each other longer than the 5 s after which Node ends idle connections.
server.keepAliveTimeout = 0;
