import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import type { RequestHandlerExtra } from '@modelcontextprotocol/sdk/shared/protocol.js';
import type { ServerNotification, ServerRequest } from '@modelcontextprotocol/sdk/types.js';
import { z } from 'zod';

type Extra = RequestHandlerExtra<ServerRequest, ServerNotification>;

/** Where nodes write down what they did: outside of them, and out of reach of the faults. */
export interface Records {
  /** A call has begun to run. Awaited before it does anything. */
  executed: (key: string, replica: string) => Promise<unknown>;
  /** A notification was accepted: its sender was told that it is stored. */
  accepted: (key: string, n: number) => Promise<unknown>;
  /** Whether a notification that was said at this time, and is over, is delivered: if it is not, its sender is not told. */
  isDelivered: (saidAt: number) => boolean;
}

const text = (said: string) => ({ content: [{ type: 'text' as const, text: said }] });

/** `key` names a call in the ledger. */
export function buildServer(records: Records): McpServer {
  const replica = randomUUID();
  const server = new McpServer(
    { name: 'chaos', version: '1.0.0' },
    { capabilities: { logging: {} } },
  );

  server.registerTool('echo', { inputSchema: { key: z.string() } }, async ({ key }) => {
    await records.executed(key, replica);
    return text(key);
  });

  /** Says how far it is, `steps` times. */
  server.registerTool(
    'slow',
    { inputSchema: { key: z.string(), steps: z.number(), ms: z.number() } },
    async ({ key, steps, ms }, extra: Extra) => {
      await records.executed(key, replica);
      const progressToken = extra._meta?.progressToken ?? key;
      for (let progress = 1; progress <= steps && !extra.signal.aborted; progress += 1) {
        await pause(ms);
        const params = { progressToken, progress, total: steps };
        await extra.sendNotification({ method: 'notifications/progress', params });
      }
      return text(key);
    },
  );

  server.registerTool('ask', { inputSchema: { key: z.string() } }, async ({ key }, extra) => {
    await records.executed(key, replica);
    const answer = await server.server.elicitInput(
      { message: key, requestedSchema: { type: 'object', properties: {} } },
      { relatedRequestId: extra.requestId },
    );
    return text(String(answer.content?.['key']));
  });

  /** Says something on the session's own stream, `count` times. */
  server.registerTool(
    'announce',
    { inputSchema: { key: z.string(), count: z.number() } },
    async ({ key, count }) => {
      await records.executed(key, replica);
      for (let n = 1; n <= count; n += 1) {
        const params = { level: 'info' as const, data: { key, n } };
        const saidAt = performance.now();
        await server.server.notification({ method: 'notifications/message', params });
        if (records.isDelivered(saidAt)) await records.accepted(key, n);
      }
      return text(key);
    },
  );
  return server;
}
