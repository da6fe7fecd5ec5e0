/** A handler of revision 2026-07-28 whose tools are functions of the test. */
import {
  createMcpHandler,
  isLegacyRequest,
  McpServer,
  type ServerContext,
} from '@modelcontextprotocol/server';
import { z } from 'zod';
import type { AnynodeOptions } from '../../../src/index.js';

export type ModernTool = (context: ServerContext) => string | Promise<string>;

const capabilities = { tools: { listChanged: true }, resources: { subscribe: true } };

export function modernServer(tools: Record<string, ModernTool> = {}): McpServer {
  const server = new McpServer({ name: 'modern', version: '1' }, { capabilities });
  for (const [name, tool] of Object.entries(tools)) {
    server.registerTool(name, { inputSchema: z.looseObject({}) }, async (_, context) => ({
      content: [{ type: 'text', text: await tool(context) }],
    }));
  }
  return server;
}

/** `built`: before the server of each request is. */
export function modernOf(
  tools: Record<string, ModernTool> = {},
  built: () => void | Promise<void> = () => undefined,
): AnynodeOptions['modern'] {
  const build = async (): Promise<McpServer> => {
    await built();
    return modernServer(tools);
  };
  return ({ bus }) => ({
    handler: createMcpHandler(build, { bus, legacy: 'reject', keepAliveMs: 0 }),
    isLegacyRequest,
  });
}
