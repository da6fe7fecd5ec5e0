/** A node whose tools take their time. Environment: REDIS_URL, PREFIX, LEASE_MS, RECOVERY, AFFINITY. */
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import type { RequestHandlerExtra } from '@modelcontextprotocol/sdk/shared/protocol.js';
import type { ServerNotification, ServerRequest } from '@modelcontextprotocol/sdk/types.js';
import express from 'express';
import { z } from 'zod';
import { serveParent } from '../../rig/child.js';
import { anynode } from '../../../src/index.js';
import { legacySse } from '../../../src/legacy-sse/index.js';
import type { AuthInfo } from '../../../src/index.js';

type Extra = RequestHandlerExtra<ServerRequest, ServerNotification>;

const started: string[] = [];
const aborted: string[] = [];

/**
 * Reports progress 1…steps, one every `ms`, then answers with who asked and where it ran. On the node `stuckOn` it gets no
 * further than to 2: so it is not through before a test has done to that node what it is about.
 */
async function count(
  { steps, ms, stuckOn }: { steps: number; ms: number; stuckOn?: string | undefined },
  extra: Extra,
) {
  started.push(String(extra.requestId));
  extra.signal.addEventListener('abort', () => aborted.push(String(extra.requestId)));
  const progressToken = extra._meta?.progressToken;
  for (let progress = 1; progress <= steps; progress += 1) {
    await pause(ms);
    if (extra.signal.aborted) break;
    if (progressToken === undefined) continue;
    await extra.sendNotification({
      method: 'notifications/progress',
      params: { progressToken, progress, total: steps },
    });
    const stuck = progress === 2 && stuckOn === mcp.nodeId && !extra.signal.aborted;
    if (stuck) await once(extra.signal, 'abort');
  }
  const who = extra.authInfo?.clientId ?? 'nobody';
  return { content: [{ type: 'text' as const, text: `counted to ${steps} for ${who}` }] };
}

function buildServer(): McpServer {
  const server = new McpServer({ name: 'slow', version: '1.0.0' });
  const inputSchema = { steps: z.number(), ms: z.number(), stuckOn: z.string().optional() };
  server.registerTool('count', { inputSchema }, count);
  server.registerTool('recount', { inputSchema, annotations: { idempotentHint: true } }, count);
  let nexts = 0;
  server.registerTool('next', { inputSchema: {} }, () => {
    nexts += 1;
    return { content: [{ type: 'text', text: String(nexts) }] };
  });
  server.registerTool(
    'ask',
    { inputSchema: {}, annotations: { readOnlyHint: true } },
    async (_, extra) => {
      const result = await server.server.elicitInput(
        { message: 'who?', requestedSchema: { type: 'object', properties: {} } },
        { relatedRequestId: extra.requestId },
      );
      return { content: [{ type: 'text' as const, text: result.action }] };
    },
  );
  return server;
}

const app = express();
app.use((req, _res, next) => {
  const clientId = req.headers['x-client'];
  if (typeof clientId === 'string') {
    const auth: AuthInfo = { token: 'secret', clientId, scopes: [] };
    Object.assign(req, { auth });
  }
  next();
});
const mcp = anynode({
  server: buildServer,
  redis: process.env.REDIS_URL,
  prefix: process.env.PREFIX,
  leaseMs: Number(process.env.LEASE_MS),
  recovery: process.env.RECOVERY as 'error' | 'rerun-idempotent',
  affinity: process.env.AFFINITY === 'owner' ? 'owner' : 'any',
  retryMs: 50,
});
app.use('/mcp', mcp);
app.use(legacySse(mcp));
const server = app.listen(0, '127.0.0.1', () => {
  void mcp.ready().then(() => {
    serveParent({
      port: (server.address() as AddressInfo).port,
      nodeId: mcp.nodeId,
      methods: {
        calls: () => ({ started, aborted }),
        health: () => mcp.health(),
        close: async ({ drainMs }: { drainMs: number }) => {
          const begin = Date.now();
          await mcp.close({ drainMs });
          return Date.now() - begin;
        },
      },
    });
  });
});
