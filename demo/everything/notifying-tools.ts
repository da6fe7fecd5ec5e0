import { setTimeout as delay } from 'node:timers/promises';
import type { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import type { CallToolResult } from '@modelcontextprotocol/sdk/types.js';

const text = (line: string): CallToolResult => ({ content: [{ type: 'text', text: line }] });

/** Tools that send notifications on the stream of their own call while they run. */
export function registerNotifyingTools(server: McpServer): void {
  server.registerTool(
    'test_tool_with_logging',
    { description: 'Logs three lines while it runs' },
    async (extra) => {
      for (const line of ['Tool execution started', 'Tool processing data']) {
        await extra.sendNotification({
          method: 'notifications/message',
          params: { level: 'info', data: line },
        });
        await delay(50);
      }
      await extra.sendNotification({
        method: 'notifications/message',
        params: { level: 'info', data: 'Tool execution completed' },
      });
      return text('Logged three lines.');
    },
  );

  server.registerTool(
    'test_tool_with_progress',
    { description: 'Reports progress of 0, 50 and 100 per cent, if the caller asked for it' },
    async (extra) => {
      const progressToken = extra._meta?.progressToken;
      if (progressToken === undefined) return text('Nobody asked for progress.');
      for (const progress of [0, 50, 100]) {
        await extra.sendNotification({
          method: 'notifications/progress',
          params: { progressToken, progress, total: 100, message: `${progress} of 100` },
        });
        await delay(20);
      }
      return text(String(progressToken));
    },
  );

  server.registerTool(
    'test_reconnection',
    {
      description:
        'Closes its own stream in mid-call; the result is for the client that comes back',
    },
    async (extra) => {
      extra.closeSSEStream?.();
      await delay(100);
      return text('The result, after the stream was closed and resumed.');
    },
  );
}
