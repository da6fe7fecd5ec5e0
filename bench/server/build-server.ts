import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { z } from 'zod';

/** The text and, for a large result, the length to which the tool fills it up. */
const ECHO = { text: z.string(), length: z.number().optional() };

/**
 * Builds the same server for all contestants: a tool that answers at once, the same one with the annotation that it changes
 * nothing, and a tool that asks the client first.
 */
export function buildServer(): McpServer {
  const server = new McpServer(
    { name: 'bench', version: '1.0.0' },
    { capabilities: { logging: {} } },
  );
  for (const [name, annotations] of [
    ['echo', {}],
    ['echo-read-only', { readOnlyHint: true }],
  ] as const) {
    server.registerTool(name, { inputSchema: ECHO, annotations }, ({ text, length = 0 }) => ({
      content: [{ type: 'text', text: text.padEnd(length, '.') }],
    }));
  }
  server.registerTool('ask', {}, async ({ requestId }) => {
    const { action, content } = await server.server.elicitInput(
      {
        message: 'Your name?',
        requestedSchema: { type: 'object', properties: { name: { type: 'string' } } },
      },
      { relatedRequestId: requestId },
    );
    return { content: [{ type: 'text', text: `${action}: ${String(content?.['name'])}` }] };
  });
  return server;
}
