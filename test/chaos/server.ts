import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import type { RequestHandlerExtra } from '@modelcontextprotocol/sdk/shared/protocol.js';
import type { ServerNotification, ServerRequest } from '@modelcontextprotocol/sdk/types.js';
import { z } from 'zod';

type Extra = RequestHandlerExtra<ServerRequest, ServerNotification>;

/** Stores what nodes did, outside of the nodes and where no fault reaches it. */
export interface Records {
  /** Notes that a call has begun to run. The call awaits this before it does anything. */
  executed: (key: string, replica: string) => Promise<unknown>;
  /** Notes that a notification was accepted: its sender was told that it is stored. */
  accepted: (key: string, n: number) => Promise<unknown>;
  /**
   * Whether a notification that was sent at this time, and whose promise has resolved, was delivered. The promise does not
   * tell.
   */
  isDelivered: (saidAt: number) => boolean;
}

const text = (said: string) => ({ content: [{ type: 'text' as const, text: said }] });

/** Builds the server. The argument `key` of its tools names a call in the ledger. */
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

  /** Sends a progress notification `steps` times. */
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

  /** Sends a notification on the session's GET stream `count` times. */
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
