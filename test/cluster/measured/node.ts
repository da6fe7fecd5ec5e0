/** A node that its test can ask to say something. Environment: REDIS_URL, PREFIX, OPTIONS (JSON, of the middleware). */
import type { AddressInfo } from 'node:net';
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import express from 'express';
import { z } from 'zod';
import { serveParent } from '../../../demo/rig/child.js';
import { anynode } from '../../../src/index.js';
import type { AnynodeOptions } from '../../../src/index.js';

function buildServer(): McpServer {
  const server = new McpServer({ name: 'measured', version: '1.0.0' });
  server.registerTool('echo', { inputSchema: { text: z.string() } }, ({ text }) => ({
    content: [{ type: 'text', text }],
  }));
  return server;
}

const app = express();
const mcp = anynode({
  server: buildServer,
  redis: process.env.REDIS_URL,
  prefix: process.env.PREFIX,
  ...(JSON.parse(process.env.OPTIONS ?? '{}') as Partial<AnynodeOptions>),
});
app.use('/mcp', mcp);
const server = app.listen(0, '127.0.0.1', () => {
  void mcp.ready().then(() => {
    serveParent({
      port: (server.address() as AddressInfo).port,
      nodeId: mcp.nodeId,
      methods: {
        /** Sends `count` notifications named after `sender` and their number, one after another. */
        say: async (params: {
          sessionId: string;
          sender: string;
          count: number;
          bytes?: number;
        }) => {
          const { sessionId, sender, count, bytes = 0 } = params;
          const padding = 'x'.repeat(bytes);
          for (let n = 1; n <= count; n += 1) {
            const data = { sender, n, padding };
            await mcp.session(sessionId).notify({
              method: 'notifications/message',
              params: { level: 'info', data },
            });
          }
        },
        health: () => mcp.health(),
        memory: () => process.memoryUsage(),
      },
    });
  });
});
