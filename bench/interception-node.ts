/** The process of a node of `interception.ts`, or of the server behind a node. */
import type { AddressInfo } from 'node:net';
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import express from 'express';
import { z } from 'zod';
import { bare } from '../demo/bare.js';
import { serveParent } from '../test/rig/child.js';
import { anynode } from '../src/index.js';

function buildServer(): McpServer {
  const server = new McpServer({ name: 'bench', version: '1.0.0' });
  server.registerTool('echo', { inputSchema: { text: z.string() } }, ({ text }) => ({
    content: [{ type: 'text', text }],
  }));
  return server;
}

const plain = bare({ server: buildServer, name: 'plain' });
const ways: Record<string, () => express.RequestHandler> = {
  plain: () => plain,
  server: () => anynode({ server: buildServer }),
  handler: () => anynode({ handler: plain }),
  upstream: () => anynode({ upstream: process.env.UPSTREAM }),
};
const handler = ways[process.env.WAY ?? '']?.() ?? plain;
const server = express()
  .use('/mcp', handler)
  .listen(0, '127.0.0.1', () => {
    serveParent({
      port: (server.address() as AddressInfo).port,
      methods: {
        cpu: () => {
          const { user, system } = process.cpuUsage();
          return user + system;
        },
      },
    });
  });
