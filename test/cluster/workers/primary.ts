/**
 * Several nodes on one port: Node's `cluster` module, as docs/how-to/use-node-cluster.md shows it. Environment: REDIS_URL, PREFIX.
 * Its workers are this file as well.
 */
import cluster, { type Worker } from 'node:cluster';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import express from 'express';
import { z } from 'zod';
import { serveParent } from '../../rig/child.js';
import { anynode } from '../../../src/index.js';

const WORKERS = 2;

/** Forks a worker and resolves with its port when it serves. */
async function start(): Promise<number> {
  const worker = cluster.fork();
  const [, message] = (await once(cluster, 'message')) as [Worker, { port: number }];
  if (worker.isDead()) throw new Error('A worker did not start');
  return message.port;
}

async function primary(): Promise<void> {
  const port = await start();
  for (let count = 1; count < WORKERS; count += 1) await start();
  serveParent({
    port,
    methods: {
      /** Replaces all workers, one after the other. */
      async roll() {
        for (const old of Object.values(cluster.workers ?? {})) {
          if (old === undefined) continue;
          await start();
          old.process.kill('SIGTERM');
          await once(old, 'exit');
        }
      },
    },
  });
}

async function work(): Promise<void> {
  const mcp = anynode({
    server: () => {
      const server = new McpServer({ name: 'worker', version: '1.0.0' });
      server.registerTool('whoami', { inputSchema: { ms: z.number() } }, async ({ ms }) => {
        await new Promise((resolve) => setTimeout(resolve, ms));
        return { content: [{ type: 'text', text: mcp.nodeId }] };
      });
      return server;
    },
    redis: process.env.REDIS_URL,
    prefix: process.env.PREFIX,
    retryMs: 50,
  });
  await mcp.ready();
  // Port 0 is the same one in all workers.
  const http = express().use('/mcp', mcp).listen(0, '127.0.0.1');
  await once(http, 'listening');
  process.send?.({ port: (http.address() as AddressInfo).port });

  process.once('SIGTERM', () => {
    http.close(); // new connections go to the other workers from now on
    void mcp.close().then(() => process.exit());
  });
}

await (cluster.isPrimary ? primary() : work());
