import { setTimeout as delay } from 'node:timers/promises';
import { fromJsonSchema, type McpServer } from '@modelcontextprotocol/server';
import { z } from 'zod';
import { CONTACT_SCHEMA, FAILING_TOOL, FIXED_TOOLS } from '../../../demo/everything/contents.js';

/** Tools that answer: one for each kind of content, one that fails, one that reports progress. */
export function registerContentTools(server: McpServer): void {
  for (const { name, description, content } of FIXED_TOOLS) {
    server.registerTool(name, { description }, () => ({ content }));
  }
  const { name, description, call } = FAILING_TOOL;
  server.registerTool(name, { description }, call);
  server.registerTool(
    'json_schema_2020_12_tool',
    { description: 'Takes a contact', inputSchema: fromJsonSchema(CONTACT_SCHEMA) },
    (given) => ({ content: [{ type: 'text', text: `Contact: ${JSON.stringify(given)}` }] }),
  );
  server.registerTool(
    'test_tool_with_progress',
    {
      description: 'Reports 0, 50 and 100 per cent, if it was asked for',
      inputSchema: z.object({}),
    },
    async (_, { mcpReq }) => {
      const progressToken = mcpReq._meta?.progressToken;
      for (const progress of progressToken === undefined ? [] : [0, 50, 100]) {
        await mcpReq.notify({
          method: 'notifications/progress',
          params: { progressToken, progress, total: 100, message: `${progress} of 100` },
        });
        await delay(20);
      }
      return { content: [{ type: 'text', text: String(progressToken) }] };
    },
  );
}
