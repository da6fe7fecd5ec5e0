/** A node of `idle-sessions.ts`, in a process of its own. */
import type { AddressInfo } from 'node:net';
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import express from 'express';
import { z } from 'zod';
import { serveParent } from '../demo/rig/child.js';
import { anynode } from '../src/index.js';

/** Long enough that all sessions are there before the first server object goes. */
const REPLICA_IDLE_MS = 20_000;

const mcp = anynode({
  server: () => {
    const server = new McpServer({ name: 'bench', version: '1.0.0' });
    server.registerTool('echo', { inputSchema: { text: z.string() } }, ({ text }) => ({
      content: [{ type: 'text', text }],
    }));
    return server;
  },
  redis: process.env.REDIS_URL,
  prefix: 'bench',
  replicaIdleMs: REPLICA_IDLE_MS,
});
await mcp.ready();
const server = express()
  .use('/mcp', mcp)
  .listen(0, '127.0.0.1', () => {
    serveParent({
      port: (server.address() as AddressInfo).port,
      methods: {
        health: () => mcp.health(),
        memory: () => {
          global.gc?.();
          return process.memoryUsage();
        },
        timers: () => process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length,
        notify: async ({ id, count, bytes }: { id: string; count: number; bytes: number }) => {
          const data = 'x'.repeat(bytes);
          for (let at = 0; at < count; at += 1) {
            const params = { level: 'info' as const, data };
            await mcp.session(id).notify({ method: 'notifications/message', params });
          }
        },
      },
    });
  });
