import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { z } from 'zod';

/** Builds the same server for all contestants, with a tool that answers at once and a tool that asks the client first. */
export function buildServer(): McpServer {
  const server = new McpServer(
    { name: 'bench', version: '1.0.0' },
    { capabilities: { logging: {} } },
  );
  server.registerTool('echo', { inputSchema: { text: z.string() } }, ({ text }) => ({
    content: [{ type: 'text', text }],
  }));
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
