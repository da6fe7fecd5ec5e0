import type { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { FAILING_TOOL, FIXED_TOOLS } from './contents.js';

/** Tools that answer at once: one for each kind of content, and one that fails. */
export function registerContentTools(server: McpServer): void {
  for (const { name, description, content } of FIXED_TOOLS) {
    const annotations = { readOnlyHint: true };
    server.registerTool(name, { description, annotations }, () => ({ content }));
  }
  const { name, description, call } = FAILING_TOOL;
  server.registerTool(name, { description }, call);
}
