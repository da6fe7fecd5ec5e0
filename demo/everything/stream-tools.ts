import { setTimeout as delay } from 'node:timers/promises';
import type { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import type { CallToolResult } from '@modelcontextprotocol/sdk/types.js';
import { z } from 'zod';

const text = (line: string): CallToolResult => ({ content: [{ type: 'text', text: line }] });

/** Tools to see streams with: the story and the programs to try by hand call these. */
export function registerStreamTools(server: McpServer): void {
  server.registerTool(
    'announce',
    {
      description: "Logs a line that belongs to no call: it arrives on the session's GET stream",
      inputSchema: { message: z.string() },
    },
    async ({ message }, extra) => {
      // Not `extra.sendNotification`, which would put it on the stream of this call.
      await server.sendLoggingMessage(
        { level: 'info', logger: 'announce', data: message },
        extra.sessionId,
      );
      return text(`Announced: ${message}`);
    },
  );

  server.registerTool(
    'count',
    {
      description: 'Counts, one notification for each number, then answers',
      inputSchema: {
        to: z.number().int().min(1).max(10_000),
        everyMs: z.number().int().min(0).max(60_000).default(100),
      },
    },
    async ({ to, everyMs }, extra) => {
      for (let n = 1; n <= to; n++) {
        // A cancelled call ends here, wherever the cancellation came in.
        await delay(everyMs, undefined, { signal: extra.signal });
        await extra.sendNotification({
          method: 'notifications/message',
          params: { level: 'info', logger: 'count', data: n },
        });
      }
      return text(`Counted to ${to}.`);
    },
  );
}
